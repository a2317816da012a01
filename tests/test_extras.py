"""What is not installed is named, with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

import dao
from dao.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_missing_reader_of_ontologies(
    write: Callable[..., dao.Store], make_study: Any, tmp_path: Any
) -> None:
    """Without fastobo an ontology cannot be added, and the extra is named."""
    if find_spec("fastobo") is not None:
        pytest.skip("fastobo is installed")
    with pytest.raises(MissingExtraError, match=r"dao-store\[ontology\]"):
        write(make_study()).add_ontology("cell_type", tmp_path / "cl.obo")


@pytest.mark.parametrize("extra", ["jax", "tensorflow", "torch"])
def test_missing_framework(extra: str, write: Callable[..., dao.Store], make_study: Any) -> None:
    """Without a framework the stream says which extra is needed."""
    if find_spec(extra) is not None:
        pytest.skip(f"{extra} is installed")
    store = write(make_study())
    with pytest.raises(MissingExtraError, match=rf"dao-store\[{extra}\]"):
        getattr(store, extra)(batch_size=5)
    assert len(next(iter(store.generator(5)))["index"]) == 5


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("LightningStore", "lightning", "lightning"),
        ("LoaderMonitor", "lightning", "lightning"),
        ("ScviStore", "scvi", "scvi"),
    ],
)
def test_missing_integration(name: str, package: str, extra: str) -> None:
    """Without the other library its integration says which extra is needed."""
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(MissingExtraError, match=rf"dao-store\[{extra}\]"):
        getattr(dao.integrations, name)
