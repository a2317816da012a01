"""Wording: messages of the library, which name arguments of Python, in words of a command line."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["in_options"]

_SENTENCES = (
    ("pass mode='create' to begin a store", "begin a store with `dao write SOURCE... STORE`"),
    ("mode='append'", "--append"),
    ("mode='replace'", "--replace"),
    ("mode='overwrite'", "--overwrite"),
    ("write_store(path, {'first': a, 'second': b})", "first=A.h5ad second=B.h5ad"),
    ("write_store(path, {'my_id': source})", "my_id=PATH"),
)
_BEGINS = r"(?<![^\s(])"  # an argument begins a word, or follows a bracket
_LIST = re.compile(r"\[('[^']*'(?:, '[^']*')*)\]")


def in_options(message: str, parameters: Iterable[click.Parameter]) -> str:
    """Return a message with the parameters of a command in place of arguments of Python.

    >>> option = click.Option(["--layers"], multiple=True)
    >>> in_options("Pass layers=['a', 'b'], or layers=.", [option])
    'Pass --layers a --layers b, or --layers=.'
    """
    for sentence, words in _SENTENCES:
        message = message.replace(sentence, words)
    for parameter in parameters:
        name = str(parameter.name)
        if isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            if parameter.multiple:
                message = _without_lists(message, name, option)
        elif parameter.nargs == -1:
            option = str(parameter.metavar).strip("[].")
        else:
            continue
        message = re.sub(rf"{_BEGINS}{name}(?==|: |\[')", option, message)
    return message


def _without_lists(message: str, name: str, option: str) -> str:
    """Name an option as often as a list has values."""

    def repeated(found: re.Match[str]) -> str:
        values = re.findall(r"'([^']*)'", found[1])
        return " ".join(f"{option} {shlex.quote(value)}" for value in values)

    return re.sub(rf"{_BEGINS}{name}={_LIST.pattern}", repeated, message)
