"""From facts to one HTML page that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.cached import cached_property
from dao.paths import local_path
from dao.replacing import replace_file
from dao.report.gather import gather
from dao.sizes import format_bytes

if TYPE_CHECKING:
    import os

    from dao.report.facts import Facts
    from dao.store import Store

__all__ = ["Page", "check_extra", "make_page"]

_HEIGHT = 640  # of the page inside of a notebook, in pixels


@dataclass(frozen=True, repr=False)
class Page:
    """A report as an HTML page; notebooks show it in a frame.

    Attributes
    ----------
    facts
        All that it tells, as plain values.
    """

    facts: Facts

    @cached_property
    def html(self) -> str:
        """The page; it loads nothing and runs no script.

        Raises
        ------
        dao.errors.MissingExtraError
            If matplotlib or jinja2 is not installed.
        """
        return _rendered(self.facts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file.

        Raises
        ------
        dao.errors.StorageError
            If the file system refuses.
        """
        target = local_path(path)
        replace_file(target, self.html.encode(errors="replace"))

    def __repr__(self) -> str:
        facts = self.facts
        findings = [f"  {f.kind}: {f.text}" for f in facts.findings]
        title = f"Report of {facts.path!r}: {facts.n_obs:,} cells in {facts.n_datasets:,} datasets"
        return "\n".join([title, *(findings or ["  nothing odd was found"])])

    def _repr_html_(self) -> str:
        style = f"width: 100%; height: {_HEIGHT}px; border: 1px solid #8884; border-radius: 6px"
        return f'<iframe srcdoc="{escape(self.html)}" style="{style}" sandbox></iframe>'


def make_page(store: Store, path: str | os.PathLike[str] | None) -> Page:
    """Return the page about a selection; see `dao.Store.report`."""
    if path is not None:
        path = local_path(path)
        check_extra()
    page = Page(gather(store))
    if path is not None:
        page.save(path)
    return page


def check_extra() -> None:
    """Refuse to begin what could not be drawn in the end.

    Raises
    ------
    dao.errors.MissingExtraError
        If matplotlib or jinja2 is not installed.
    """
    try:
        import_module("jinja2")
        import_module("dao.report.pictures")
    except ImportError as error:
        msg = "a report"
        raise missing_extra(msg, "report", error) from error


def _rendered(facts: Facts) -> str:
    check_extra()
    import jinja2

    from dao.report.pictures import pictures

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"bytes": format_bytes, "percent": _percent, "signif": _signif}
    template = environment.from_string(_text("page.html"))
    return template.render(facts=facts, pictures=pictures(facts), style=_safe(_text("page.css")))


def _text(name: str) -> str:
    return (files("dao.report") / name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - a file of this package


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or not share else f"{100 * share:.1f} %"


def _signif(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
