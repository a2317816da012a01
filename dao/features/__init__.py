"""Features: which ones a store has, how those of a study are matched to them, which are chosen."""

from __future__ import annotations

from dao.features.choose import Choice, choose_features
from dao.features.matching import matching_table
from dao.features.measured import measured
from dao.features.reference import Features, Reference
from dao.features.tables import FeatureTables, wanted_ids

__all__ = [
    "Choice",
    "FeatureTables",
    "Features",
    "Reference",
    "choose_features",
    "matching_table",
    "measured",
    "wanted_ids",
]
