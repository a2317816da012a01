"""The example of the README runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_example(
    make_study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Two files of any study with cell types are all that it needs."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for name in ("gut", "blood"):
        make_study().write_h5ad(f"{name}.h5ad")
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert "1 torch.Size(" in capsys.readouterr().out
