"""Faults that are known and open: what the machines leave out until they are mended.

A name is used by `left_out` where the fault is avoided. The table is empty when all is well; an
entry goes as soon as its mend has landed.
"""

from __future__ import annotations

_ARGUMENTS = (
    "Balanced(size)",
    "Balanced(block)",
    "Generator.mixing(key)",
    "Generator.state_dict(n_batches)",
    "Generator.set_epoch(reads_all)",
    "Log1p(base)",
    "Paired(match)",
    "Paired(unmatched)",
    "Scale(zero_center)",
    "Scale(std)",
    "Scale(mean)",
    "Shuffle(block)",
    "Shuffle(window)",
    "Sequential(window)",
    "Source(feature_key)",
    "Source(layer)",
    "Source(obs)",
    "Source(constants)",
    "compact(ids)",
    "generator(pad)",
    "highly_variable_genes(flavor)",
    "highly_variable_genes(n_bins)",
    "pseudobulk(by)",
    "pseudobulk(func)",
    "remove(ids)",
    "select_features(symbol)",
    "subset(_source_row)",
    "validate_store(repair)",
    "validate_store(old_generations)",
    "split(fractions)",
    "value_counts(normalize)",
    "write_store(feature_key)",
    "write_store(layer)",
    "write_store(storage_options)",
)
KNOWN: dict[str, str] = dict.fromkeys(
    _ARGUMENTS, "arguments of another type end in an error of Python or of a library"
)


def left_out(name: str) -> bool:
    """Return whether a fault is known and open."""
    return name in KNOWN
