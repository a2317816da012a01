"""Selections as dask collections: blocks of rows that are read where they are computed.

``blocks`` and ``source`` know nothing of dask: which rows a block has, and how they are read.
"""

from __future__ import annotations
