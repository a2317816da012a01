"""What is not installed is named, with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from dao.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao


@pytest.mark.parametrize("extra", ["jax", "tensorflow", "torch"])
def test_missing_framework(extra: str, write: Callable[..., dao.Store], make_study: Any) -> None:
    """Without a framework the stream says which extra is needed."""
    if find_spec(extra) is not None:
        pytest.skip(f"{extra} is installed")
    store = write(make_study())
    with pytest.raises(MissingExtraError, match=rf"dao-store\[{extra}\]"):
        getattr(store, extra)(batch_size=5)
    assert len(next(iter(store.generator(5)))["index"]) == 5
