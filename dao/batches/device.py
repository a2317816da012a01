"""Batches on an accelerator: sparse over the bus, dense only when they are there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dao.batches.spec import BatchSpec

__all__ = ["mover", "parse_device", "sparse_spec"]

_MATRICES = {"X", "obs", "layers", "obsm"}

# torch fills tensors of these on every device; of the other unsigned types on few.
_FILLABLE = {np.dtype(t) for t in ("f4", "f8", "u1", "i1", "i2", "i4", "i8")}


def parse_device(device: Any) -> torch.device | None:
    """Return the device that batches go to; None for where they are anyway.

    Raises
    ------
    dao.errors.ArgumentError
        If torch does not know it, or it is not there.
    """
    if device is None:
        return None
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        hint = " torch calls a GPU 'cuda'." if str(device).startswith("gpu") else ""
        msg = f"device={device!r} cannot be used: {reason}{hint}"
        raise ArgumentError(msg) from error
    return None if wanted.type == "cpu" else wanted


def sparse_spec(spec: BatchSpec, sparse: Mapping[str, bool]) -> BatchSpec:
    """Return the spec with dense matrices left sparse where they are stored so.

    Parameters
    ----------
    spec
        What a batch holds in the end.
    sparse
        Which matrices are stored as CSR.
    """
    fixed = {"X"} if any(step.needs_dense for step, _ in spec.steps) else set()
    matrices = {
        name: dataclasses.replace(how, dense=False)
        if how.dense and sparse[name] and how.dtype in _FILLABLE and name not in fixed
        else how
        for name, how in spec.matrices.items()
    }
    return dataclasses.replace(spec, matrices=matrices)


def mover(device: torch.device, spec: BatchSpec) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that copies a batch of tensors to a device.

    Copies go through pinned memory and do not wait, so they overlap with what the device
    computes; torch keeps the pinned memory until they are done.

    Parameters
    ----------
    device
        Where to.
    spec
        What a batch holds in the end: what is dense there and still sparse becomes dense.
    """
    pinned = device.type == "cuda"

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        return (tensor.pin_memory() if pinned else tensor).to(device, non_blocking=True)

    def move(name: str, value: torch.Tensor) -> torch.Tensor:
        if value.layout is not torch.sparse_csr:
            return copy(value)
        parts = copy(value.crow_indices()), copy(value.col_indices()), copy(value.values())
        if not spec.matrices[name].dense:
            return torch.sparse_csr_tensor(*parts, size=value.shape, check_invariants=False)
        return _dense(*parts, value.shape)

    def move_all(batch: dict[str, Any]) -> dict[str, Any]:
        return {
            "X": move("X", batch["X"]),
            "obs": {name: copy(value) for name, value in batch["obs"].items()},
            "layers": {n: move(f"layers/{n}", v) for n, v in batch["layers"].items()},
            "obsm": {n: move(f"obsm/{n}", v) for n, v in batch["obsm"].items()},
            **{n: copy(v) for n, v in batch.items() if n not in _MATRICES},
        }

    return move_all


def _dense(
    indptr: torch.Tensor, indices: torch.Tensor, values: torch.Tensor, shape: torch.Size
) -> torch.Tensor:
    rows = torch.arange(shape[0], device=values.device)
    # With the size known, no device has to be waited for.
    rows = rows.repeat_interleave(indptr.diff().long(), output_size=len(values))
    out = torch.zeros(shape, dtype=values.dtype, device=values.device)
    return out.index_put_((rows, indices.long()), values)
