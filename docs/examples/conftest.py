"""Installs the example as pip would: a module, and metadata that name its entry point."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dao.backend import refresh_backends

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRY_POINTS = "[dao.backends]\nplain = dao_plain:PlainBackend\n"


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    site = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("dao_plain.py"), site)
    metadata = site / "dao_plain-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dao-plain\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    # Spawned processes find the module through the environment.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
        refresh_backends()
        yield
    sys.modules.pop("dao_plain", None)
    refresh_backends()
