"""Transforms that dao applies to X itself, while it reads ahead, for every framework.

They give what the functions of scanpy of the same names give, to the precision of the dtype.
"""

from __future__ import annotations

from dao.transforms.log1p import Log1p
from dao.transforms.normalize import NormalizeTotal
from dao.transforms.parallel import parallel
from dao.transforms.scale import Scale
from dao.transforms.step import Step

__all__ = ["Log1p", "NormalizeTotal", "Scale", "Step", "parallel"]
