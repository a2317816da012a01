"""What is not installed is named, with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from dao.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao


def test_missing_reader_of_ontologies(
    write: Callable[..., dao.Store], make_study: Any, tmp_path: Any
) -> None:
    """Without fastobo an ontology cannot be added, and the extra is named."""
    if find_spec("fastobo") is not None:
        pytest.skip("fastobo is installed")
    with pytest.raises(MissingExtraError, match=r"dao-store\[ontology\]"):
        write(make_study()).add_ontology("cell_type", tmp_path / "cl.obo")


@pytest.mark.parametrize("extra", ["torch", "tensorflow"])
def test_missing_framework(extra: str, write: Callable[..., dao.Store], make_study: Any) -> None:
    """Without torch or tensorflow the stream says which extra is needed."""
    if find_spec(extra) is not None:
        pytest.skip(f"{extra} is installed")
    store = write(make_study())
    with pytest.raises(MissingExtraError, match=rf"dao-store\[{extra}\]"):
        getattr(store, extra)(batch_size=5)
    assert len(next(iter(store.generator(5)))["index"]) == 5
