"""Samplers: in which order, and how often, the rows of a selection are visited.

Each is a frozen value with one method, a pure function of the rows, the seed and the epoch. A
user's own class with the same method works everywhere.
"""

from __future__ import annotations

from dao.samplers.balanced import Balanced
from dao.samplers.grouped import Grouped
from dao.samplers.mixing import Mixing
from dao.samplers.paired import Paired
from dao.samplers.plan import EpochPlan, Sampler
from dao.samplers.random import Random
from dao.samplers.rows import Labels, Rows
from dao.samplers.sequential import Sequential
from dao.samplers.shuffle import Shuffle
from dao.samplers.weighted import Weighted

__all__ = [
    "Balanced",
    "EpochPlan",
    "Grouped",
    "Labels",
    "Mixing",
    "Paired",
    "Random",
    "Rows",
    "Sampler",
    "Sequential",
    "Shuffle",
    "Weighted",
]
