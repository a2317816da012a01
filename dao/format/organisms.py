"""Organisms: one name for each, whatever people call it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from dao.errors import ArgumentError
from dao.similar import similar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KNOWN_ORGANISMS", "canonical_organism", "is_known_organism", "near_organisms"]

# Binomial name -> its number in the NCBI taxonomy, and common names.
KNOWN_ORGANISMS: dict[str, tuple[int, tuple[str, ...]]] = {
    "Homo sapiens": (9606, ("human",)),
    "Mus musculus": (10090, ("mouse", "house mouse")),
    "Rattus norvegicus": (10116, ("rat", "brown rat")),
    "Danio rerio": (7955, ("zebrafish",)),
    "Drosophila melanogaster": (7227, ("fly", "fruit fly")),
    "Caenorhabditis elegans": (6239, ("worm", "roundworm")),
    "Sus scrofa": (9823, ("pig",)),
    "Macaca mulatta": (9544, ("macaque", "rhesus", "rhesus macaque")),
    "Macaca fascicularis": (9541, ("crab-eating macaque", "cynomolgus")),
    "Callithrix jacchus": (9483, ("marmoset",)),
    "Microcebus murinus": (30608, ("mouse lemur",)),
    "Pan troglodytes": (9598, ("chimpanzee",)),
    "Gorilla gorilla": (9593, ("gorilla",)),
    "Gallus gallus": (9031, ("chicken",)),
    "Bos taurus": (9913, ("cow", "cattle")),
    "Ovis aries": (9940, ("sheep",)),
    "Canis lupus familiaris": (9615, ("dog",)),
    "Felis catus": (9685, ("cat",)),
    "Oryctolagus cuniculus": (9986, ("rabbit",)),
    "Xenopus laevis": (8355, ("african clawed frog",)),
    "Xenopus tropicalis": (8364, ("western clawed frog",)),
    "Saccharomyces cerevisiae": (4932, ("yeast", "baker's yeast")),
    "Arabidopsis thaliana": (3702, ("arabidopsis", "thale cress")),
    "Escherichia coli": (562, ("e coli",)),
}
_MOST_CHARACTERS = 500
_CUTOFF = 0.75  # most organisms of the world are not in this table, and no typing errors


def canonical_organism(name: object) -> str:
    """Return the binomial name of a well-known organism; other names as they are.

    Understood are common English names, abbreviations (``"H. sapiens"``, ``"hsapiens"``), and
    numbers of the NCBI taxonomy (``9606``, ``"NCBITaxon:9606"``).

    Raises
    ------
    dao.errors.ArgumentError
        If it is not a name.

    Examples
    --------
    >>> canonical_organism("human"), canonical_organism("H. sapiens"), canonical_organism("9606")
    ('Homo sapiens', 'Homo sapiens', 'Homo sapiens')
    >>> canonical_organism("Ambystoma mexicanum")
    'Ambystoma mexicanum'
    """
    if isinstance(name, bool) or not isinstance(name, str | int):
        msg = f"organism={name!r}: pass a name, such as 'human' or 'Homo sapiens'."
        raise ArgumentError(msg)
    text = str(name).strip()
    if not text or len(text) > _MOST_CHARACTERS:
        msg = f"organism={text[:50]!r}: pass a name of 1 to {_MOST_CHARACTERS} characters."
        raise ArgumentError(msg)
    return _names().get(_key(text), text)


def is_known_organism(organism: str) -> bool:
    """Whether a canonical name is that of a well-known organism."""
    return organism in KNOWN_ORGANISMS


def near_organisms(name: str, others: Sequence[str] = ()) -> str:
    """Return a sentence with well-known organisms, or some others, whose names are very similar."""
    common = [c for _, names in KNOWN_ORGANISMS.values() for c in names]
    found = similar(name, [*others, *KNOWN_ORGANISMS, *common], cutoff=_CUTOFF)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""


def _key(text: str) -> str:
    """Return a name without case and without what separates its words."""
    plain = re.sub(r"^(ncbitaxon|ncbi|taxon|taxid|txid)[\s:_]*(?=\d+$)", "", text.lower())
    return re.sub(r"[\s._-]+", " ", plain).strip()


@cache
def _names() -> dict[str, str]:
    """Return every name that stands for one organism alone, as `_key` gives it."""
    meanings: dict[str, set[str]] = {}
    for organism, (number, common) in KNOWN_ORGANISMS.items():
        genus, *rest = organism.split()
        species = " ".join(rest)
        short = [f"{genus[0]}. {species}", f"{genus[0]}{rest[-1]}", f"{genus}{rest[-1]}"]
        for name in (organism, str(number), *common, *short):
            meanings.setdefault(_key(name), set()).add(organism)
    return {name: next(iter(found)) for name, found in meanings.items() if len(found) == 1}
