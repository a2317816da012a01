"""Gene panels of which nothing or little is in a store: errors and warnings with what is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import DaoError, DaoWarning, UnknownFeatureError

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = [f"CD{i}" for i in range(1, 41)]
IDS = [f"ENSG{i:011d}" for i in range(1, 41)]
MOUSE = [f"ENSMUSG{i:011d}" for i in range(1, 41)]


def study(names: list[str], **var: list[str]) -> ad.AnnData:
    """Return cells of ones with these features."""
    x = np.ones((6, len(names)), np.float32)
    return ad.AnnData(x, pd.DataFrame(index=list("abcdef")), pd.DataFrame(var, names))


@pytest.fixture(scope="module")
def by_id(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """A store of Ensembl ids with symbols."""
    path = tmp_path_factory.mktemp("panels") / "ids.dao"
    source = study(IDS, symbol=SYMBOLS)
    return dao.write_store(path, {"a": source}, organism="human", progress=False)


@pytest.fixture(scope="module")
def by_symbol(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """A store of symbols."""
    path = tmp_path_factory.mktemp("panels") / "symbols.dao"
    return dao.write_store(path, {"a": study(SYMBOLS)}, organism="human", progress=False)


CALLS: dict[str, Callable[[dao.Store, Any], Any]] = {
    "select": lambda store, panel: store.select_features(panel, missing="zero"),
    "generator": lambda store, panel: store.generator(2, var_names=panel, missing="zero"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("store", "panel", "match"),
    [
        ("by_id", SYMBOLS, r"None of the 40 .* column 'symbol' of var, as 'CD1'.*by='symbol'"),
        ("by_id", MOUSE, r"Ensembl ids \(ENSMUSG...\).* Ensembl ids \(ENSG...\)"),
        ("by_symbol", IDS, r"They are Ensembl ids \(ENSG...\).* not Ensembl ids, as 'CD"),
        ("by_symbol", [s.lower() for s in SYMBOLS], "40 of them differ only in case: 'cd1' is 'CD1'"),
        ("by_symbol", [f"{s}.2" for s in SYMBOLS], "differ only by a version"),
        ("by_symbol", ["Cd3x"], "None of the 1 features"),
    ],
)  # fmt: skip
def test_nothing_matches(
    request: pytest.FixtureRequest, call: str, store: str, panel: list[str], match: str
) -> None:
    """All columns would be zero: an error that says under which names the features are there."""
    with pytest.raises(UnknownFeatureError, match=match):
        CALLS[call](request.getfixturevalue(store), panel)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("panel", "match"),
    [
        ([*SYMBOLS[:3], *(f"X{i}" for i in range(17))], "17 of 20 features are not in the store"),
        ([*SYMBOLS[:30], "cd35", "cd36"], "2 of them differ only in case: 'cd35' is 'CD35'"),
    ],
)
def test_few_match(by_symbol: dao.Store, call: str, panel: list[str], match: str) -> None:
    """A warning at the user's line, with the numbers."""
    with pytest.warns(DaoWarning, match=match) as caught:
        CALLS[call](by_symbol, panel)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_most_match(by_symbol: dao.Store) -> None:
    """A model's own genes, some of which a study lacks, are what zeros are for."""
    chosen = by_symbol.select_features([*SYMBOLS[:20], "other", "another"], missing="zero")
    assert chosen.to_anndata().X.sum(axis=0).tolist() == [6.0] * 20 + [0.0] * 2


@pytest.mark.parametrize(
    ("panel", "match"),
    [
        ([*SYMBOLS[:3], *IDS], "'a' has 3 of the 43 features of features=.* They are Ensembl ids"),
        ([*SYMBOLS[:3], *(s.lower() for s in SYMBOLS[3:])], "37 of them differ only in case"),
    ],
)
def test_a_list_of_which_a_study_has_few(write: Any, panel: list[str], match: str) -> None:
    """The store has these features, nearly all of them zero."""
    with pytest.warns(DaoWarning, match=match):
        write({"a": study(SYMBOLS)}, organism="human", features=panel)


def test_lists_that_are_larger_or_smaller(write: Any) -> None:
    """All genes of a genome and a targeted study, or a panel and a whole study: no warning."""
    write({"a": study(SYMBOLS[:4])}, "all.dao", organism="human", features=SYMBOLS)
    write({"a": study(SYMBOLS)}, "panel.dao", organism="human", features=SYMBOLS[:4])
    with pytest.raises(DaoError, match="no feature in common"):
        write({"a": study(SYMBOLS)}, "none.dao", organism="human", features=IDS)
