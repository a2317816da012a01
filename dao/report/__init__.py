"""A page that shows what is in a selection before one trains on it.

Three stages: facts are gathered (`dao.report.gather`), drawn (`dao.report.pictures`) and set as a
page (`dao.report.page`).
"""

from __future__ import annotations

from dao.report.page import Page, check_extra, make_page

__all__ = ["Page", "check_extra", "make_page"]
