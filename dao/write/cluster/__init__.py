"""Writing by the workers of a dask cluster.

Datasets are given out whole, large ones in ranges of rows and then of shards. A worker writes into
a folder of its own; what it has finished is moved into the store by the process that called
`dao.write_store`, which alone holds the lock and commits.
"""

from __future__ import annotations

from dao.write.cluster.connect import check_client, check_shared, connected
from dao.write.cluster.spread import write_there

__all__ = ["check_client", "check_shared", "connected", "write_there"]
