"""The single measurements: each is made by a process of its own, once a round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement, made once a round by a fresh process.

    Attributes
    ----------
    name
        ``tool/what``; the tool decides the interpreter.
    title
        For tables.
    command
        Script and arguments; ``{words}`` are filled in when it is run.
    gives
        What the stream must add up to: "all" counts, those of the "chosen" genes, or those of
        the "rare" cell type. Empty for jobs that stream nothing, or no whole epoch of a fit.
    needs
        A job whose speed decides how long the consumer of this one computes.
    """

    name: str
    title: str
    command: str
    gives: str = ""
    needs: str = ""

    @property
    def tool(self) -> str:
        """Whose measurement it is."""
        return self.name.partition("/")[0]


_DAO = "stream_dao.py stream"
_PEER = "peer_annbatch.py stream {annbatch}"
_TIMED = "--batch-size {batch} --seconds {seconds}"
_SLEEP = "--consumer sleep --consumer-s {load_s}"
_BURN = "--consumer burn --consumer-s {load_s}"
_GENES = "--genes {summary}"
_FIT = (
    "--batch-size {batch} --genes {summary} --obs-keys cell_type "
    "--types {types} --cells {cells} --epochs {epochs}"
)
_SLOW = "--budget {budget} --whole {whole}"

# The order is the order of measuring: what is divided by one another stands side by side.
JOBS = (
    Job("dao/write", "write_store, profile fast", "stream_dao.py build {atlas} {scratch}"),
    Job("annbatch/write", "pre-shuffled collection", "peer_annbatch.py build {atlas} {scratch}"),
    Job("dao/csr", "CSR", f"{_DAO} {{fast}} {_TIMED}", "all"),
    Job("annbatch/csr", "CSR, 512 x 32", f"{_PEER} {_TIMED}", "all"),
    Job(
        "annbatch/csr-64x256",
        "CSR, 64 x 256",
        f"{_PEER} {_TIMED} --chunk-size 64 --preload-nchunks 256",
        "all",
    ),
    Job("dao/compact", "CSR, profile compact", f"{_DAO} {{compact}} {_TIMED}", "all"),
    Job("zarrs/decode", "zarrs alone, decoding X of the store", "decode_zarrs.py {fast} {seconds}"),
    Job("dao/sleep", "CSR, accelerator", f"{_DAO} {{fast}} {_TIMED} {_SLEEP}", "all", "csr"),
    Job("annbatch/sleep", "CSR, accelerator", f"{_PEER} {_TIMED} {_SLEEP}", "all", "csr"),
    Job("dao/burn", "CSR, one core computes", f"{_DAO} {{fast}} {_TIMED} {_BURN}", "all", "csr"),
    Job("annbatch/burn", "CSR, one core computes", f"{_PEER} {_TIMED} {_BURN}", "all", "csr"),
    Job(
        "dao/csr-128",
        "CSR, batches of 128",
        f"{_DAO} {{fast}} --batch-size 128 --seconds {{seconds}}",
        "all",
    ),
    Job(
        "annbatch/csr-128",
        "CSR, batches of 128",
        f"{_PEER} --batch-size 128 --seconds {{seconds}}",
        "all",
    ),
    Job("dao/dense", "dense, chosen genes", f"{_DAO} {{fast}} {_TIMED} {_GENES}", "chosen"),
    Job("annbatch/dense", "dense, chosen genes", f"{_PEER} {_TIMED} {_GENES}", "chosen"),
    Job(
        "dao/random",
        "CSR, perfectly random",
        f"{_DAO} {{fast}} {_TIMED} --sampler random",
        "all",
    ),
    Job(
        "annbatch/random",
        "CSR, perfectly random",
        f"{_PEER} {_TIMED} --chunk-size 1 --preload-nchunks {{preload}} {_SLOW}",
        "all",
    ),
    Job(
        "dao/rare",
        "CSR, one rare cell type",
        f"{_DAO} {{fast}} {_TIMED} --cell-type {{rare}}",
        "rare",
    ),
    Job(
        "dao/rare-clustered",
        "CSR, one rare cell type, clustered store",
        f"{_DAO} {{clustered}} {_TIMED} --cell-type {{rare}}",
        "rare",
    ),
    Job("dao/start", "opening, first batch", "start.py dao {fast} {batch}"),
    Job("annbatch/start", "opening, first batch", "start.py annbatch {annbatch} {batch}"),
    Job("dao/disk", "bytes on disk, profile fast", "stored {fast}"),
    Job("dao/disk-compact", "bytes on disk, profile compact", "stored {compact}"),
    Job("annbatch/disk", "bytes on disk", "stored {annbatch}"),
    Job("memory/csr", "CSR", "peer_h5ad.py memory {joined} " + _TIMED, "all"),
    Job("scdataset/csr", "CSR", f"peer_h5ad.py scdataset {{joined}} {_TIMED} {_SLOW}", "all"),
    Job("backed/csr", "CSR", f"peer_h5ad.py backed {{joined}} {_TIMED} --budget {{budget}}", "all"),
    Job("dao/fit", "fit", f"{_DAO} {{fast}} {_FIT}", "chosen"),
    Job("annbatch/fit", "fit", f"{_PEER} {_FIT}", "chosen"),
    Job("memory/fit", "fit", f"peer_h5ad.py memory {{joined}} {_FIT}", "chosen"),
    Job(
        "scdataset/fit",
        "fit",
        f"peer_h5ad.py scdataset {{joined}} {_FIT} --budget {{budget}} --whole {{fetched}}",
    ),
    Job(
        "backed/fit",
        "fit",
        f"peer_h5ad.py backed {{joined}} {_FIT} --budget {{budget}} --whole {{workers}}",
    ),
)

# All readers of the same cells in the same form, with how each is set up.
PEERS = (
    ("dao/csr", "dao", "defaults"),
    ("annbatch/csr", "annbatch", "chunks of 512 x 32, its default"),
    ("annbatch/csr-64x256", "annbatch", "chunks of 64 x 256"),
    ("scdataset/csr", "scDataset", "blocks of 16, 16,384 rows at once, DataLoader workers"),
    ("backed/csr", "backed AnnData", "random rows, a batch at once, DataLoader workers"),
    ("memory/csr", "in memory", "scipy, permuted rows; the ceiling that users know"),
)

# All readers whose batches of chosen genes a model is fitted to.
FITS = (
    ("dao/fit", "dao", "defaults"),
    ("annbatch/fit", "annbatch", "chunks of 512 x 32, its default"),
    ("scdataset/fit", "scDataset", "blocks of 16, 16,384 rows at once, DataLoader workers"),
    ("backed/fit", "backed AnnData", "random rows, a batch at once, DataLoader workers"),
    ("memory/fit", "in memory", "the file read, the chosen genes kept as a dense array"),
)
