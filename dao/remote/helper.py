"""Requests for a forked child: a process of its own makes them.

The library's threads do not come along into a forked child, where every request would wait for
them without end. So the child starts a fresh Python, tells it what to read, and gets the bytes.
Both ends are this file; they talk through the helper's standard input and output.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

from dao.errors import DaoError, StorageError
from dao.forks import Lock
from dao.stopping import at_exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.remote.bucket import Bucket, Range

__all__ = ["Helper", "serve"]

_running: weakref.WeakSet[Helper] = weakref.WeakSet()
_COMMAND = "from dao.remote.helper import serve; serve()"


class Helper:
    """A process that reads objects for this one; it ends with it."""

    def __init__(self, bucket: Bucket) -> None:
        self.pid = os.getpid()
        self._lock = Lock()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._url = str(bucket.root)
        _running.add(self)
        self._ask(("bucket", bucket))

    def ranges(self, wanted: Sequence[Range]) -> list[bytes]:
        """Return what `Bucket.ranges` would."""
        found: list[bytes] = self._ask(("ranges", list(wanted)))
        return found

    def size(self, path: str) -> int:
        """Return what `Bucket.size` would."""
        return int(self._ask(("size", path)))

    def end(self) -> None:
        """End the process, whatever it waits for."""
        self._process.kill()

    def _ask(self, question: Any) -> Any:
        asking, answering = self._process.stdin, self._process.stdout
        try:
            with self._lock:
                pickle.dump(question, asking)  # type: ignore[arg-type]
                asking.flush()  # type: ignore[union-attr]
                answer = pickle.load(answering)  # type: ignore[arg-type]  # noqa: S301 - our own
        except (OSError, EOFError) as error:
            msg = f"{self._url} cannot be read: the process that reads it has ended."
            raise StorageError(msg) from error
        if isinstance(answer, DaoError):
            raise answer
        return answer


def _end_all() -> None:
    for helper in list(_running):
        if helper.pid == os.getpid():
            helper.end()


at_exit(_end_all)


def serve() -> None:
    """Answer questions until there are no more."""
    try:
        _serve()
    except KeyboardInterrupt:  # Ctrl-C is for the program that this is a part of
        os._exit(1)


def _serve() -> None:
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    bucket: Bucket | None = None
    while True:
        try:
            name, argument = pickle.load(asked)  # noqa: S301 - our own
        except EOFError:
            return
        answer: Any = None
        try:
            if name == "bucket":
                bucket = argument
            else:
                answer = getattr(bucket, name)(argument)
        except DaoError as error:
            answer = error
        pickle.dump(answer, answers)
        answers.flush()
