"""The command ``dao``: write, info, validate, demo."""

from __future__ import annotations

from dao.cli.app import main

__all__ = ["main"]
