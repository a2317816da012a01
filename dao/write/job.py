"""The job: what one call of `write_store` is asked to do, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dao.arguments import choice, flag, names, shown, whole
from dao.errors import ArgumentError
from dao.format.declared import parse_obs_schema
from dao.format.encodings import PROFILES
from dao.sizes import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from dao.format.declared import ObsColumn
    from dao.write.join import StoredCategories

__all__ = ["MODES", "Job", "make_job"]

MODES = ("create", "append", "replace", "overwrite")


@dataclass(frozen=True)
class Job:
    """What is the same for all datasets of one call.

    ``token`` becomes part of the names of what is new, where other writers cannot be locked out.
    ``categories`` are the categorical columns of the store that is added to.
    """

    root: Path
    generation: int
    matrices: tuple[str, ...]
    obs_columns: tuple[str, ...] | None
    obs_schema: Mapping[str, ObsColumn] | None
    shuffle: bool
    cluster_by: tuple[str, ...]
    seed: int
    profile: str
    memory: int
    mode: str
    token: str = ""
    categories: Mapping[str, StoredCategories] = field(default_factory=dict)


def make_job(
    root: Path,
    *,
    layers: str | Iterable[str] = (),
    obsm: str | Iterable[str] = (),
    obs_columns: str | Iterable[str] | None = None,
    obs_schema: Mapping[str, Any] | None = None,
    shuffle: bool = True,
    cluster_by: str | Iterable[str] | None = None,
    seed: int = 0,
    profile: str = "fast",
    memory: int | str = "2GiB",
    mode: str = "create",
    token: str = "",
) -> Job:
    """Check the arguments of `dao.write_store`, as far as they need no source.

    Raises
    ------
    dao.errors.ArgumentError
        Naming the argument, and what can be given.
    """
    profile, mode = choice("profile", profile, tuple(PROFILES)), choice("mode", mode, MODES)
    seed = whole("seed", seed)
    if obs_schema is not None and obs_columns is not None:
        msg = "obs_schema= says which obs columns are kept; leave out obs_columns=."
        raise ArgumentError(msg)
    return Job(
        root=root,
        generation=1,
        matrices=(
            *(f"layers/{n}" for n in _names("layers", layers)),
            *(f"obsm/{n}" for n in _names("obsm", obsm)),
        ),
        obs_columns=None if obs_columns is None else _names("obs_columns", obs_columns),
        obs_schema=None if obs_schema is None else _schema(obs_schema),
        shuffle=flag("shuffle", shuffle),
        cluster_by=() if cluster_by is None else _names("cluster_by", cluster_by),
        seed=seed,
        profile=profile,
        memory=parse_bytes(memory),
        mode=mode,
        token=token,
    )


def _schema(given: object) -> dict[str, ObsColumn]:
    columns, problems = parse_obs_schema(given)
    if problems:
        msg = "obs_schema= cannot be used:" + "".join(f"\n  {p}" for p in problems)
        raise ArgumentError(msg)
    return columns


def _names(argument: str, value: str | Iterable[str]) -> tuple[str, ...]:
    listed = tuple(names(argument, value))
    if not all(listed):
        msg = f"{argument}={shown(value)}: a name cannot be empty."
        raise ArgumentError(msg)
    if argument in {"layers", "obsm"} and any({"/", "\0"} & set(n) or n[0] == "." for n in listed):
        msg = (
            f"{argument}={shown(value)}: a name that becomes a folder cannot hold '/' or begin "
            "with '.'."
        )
        raise ArgumentError(msg)
    return listed
