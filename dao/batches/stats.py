"""Stats: what a generator has cost so far."""

from __future__ import annotations

from dataclasses import dataclass

from dao.sizes import format_bytes

__all__ = ["Stats"]


@dataclass
class Stats:
    """What reading has cost so far, over all epochs of a generator in this process.

    Attributes
    ----------
    n_obs, n_batches
        Cells and batches handed out.
    seconds
        Time between the first request and the last batch.
    waited_seconds
        Of these, how long the consumer waited for data: near zero means that the model, not
        the loader, is the limit.
    bytes_read
        Decoded bytes.
    chunks_decoded
        Chunks decoded.
    requests
        Requests to a server, for stores at URLs.
    cache_hits
        Chunks of such stores that were on local disk already. Both are those of the open store:
        streams that read from it at the same time are counted together.
    """

    n_obs: int = 0
    n_batches: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    bytes_read: int = 0
    chunks_decoded: int = 0
    requests: int = 0
    cache_hits: int = 0

    @property
    def cells_per_second(self) -> float:
        """Cells handed out per second, the consumer's own time included."""
        return self.n_obs / self.seconds if self.seconds else 0.0

    @property
    def waiting(self) -> float:
        """Share of the time that the consumer waited for data, from 0 to 1."""
        return self.waited_seconds / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        text = (
            f"{self.n_obs:,} cells in {self.seconds:.1f} s: {self.cells_per_second:,.0f} cells/s, "
            f"{100 * self.waiting:.0f} % of the time waiting for data, "
            f"{format_bytes(self.bytes_read)} decoded"
        )
        if self.requests or self.cache_hits:
            text += f", {self.requests:,} requests, {self.cache_hits:,} chunks out of the cache"
        return text
