"""Samplers: in which order the rows of a selection are visited.

Each is a frozen value with one method, a pure function of the sizes of the datasets, the
seed and the epoch. A user's own class with the same method works everywhere.
"""

from __future__ import annotations

from dao.samplers.plan import EpochPlan, Sampler
from dao.samplers.random import Random
from dao.samplers.sequential import Sequential
from dao.samplers.shuffle import Shuffle

__all__ = ["EpochPlan", "Random", "Sampler", "Sequential", "Shuffle"]
