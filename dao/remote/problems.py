"""What went wrong on the network, as errors of dao: short, and without anything secret.

The messages of the library quote requests, in which signatures and tokens may stand. So nothing of
them is passed on but the status and the code that the server gave.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao.errors import ArgumentError, CorruptStoreError, DaoError, StorageError, near_matches
from dao.remote.given import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dao.remote.url import StoreUrl

__all__ = [
    "Failure",
    "MissingObjectError",
    "explained",
    "failure_of",
    "is_conflict",
    "refused_option",
]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{3,60})</Code>")
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


# What a server answers when it is overloaded, restarted or slow: it may answer otherwise soon.
_FOR_NOW = {"408", "425", "429", "500", "502", "503", "504"}
_NAME = re.compile(r"dns error|failed to lookup|name resolution", re.IGNORECASE)
# Where no credentials are given the library asks machines that are not there.
_FOR_GOOD = re.compile(
    r"certificate|corrupt message|169\.254\.169\.254|metadata\.google|credential"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed request says of the server.

    Attributes
    ----------
    is_answer
        Whether the server answered, if only to refuse.
    passes
        Whether the same request may succeed later.
    is_unreachable
        Whether no connection was made because of the name or the network.
    reason
        In words.
    """

    is_answer: bool
    passes: bool
    is_unreachable: bool
    reason: str


def failure_of(error: Exception) -> Failure:
    """Return what an error of the library says of the server."""
    text = str(error)
    status = _STATUS.search(text)
    answered = status is not None or isinstance(error, FileNotFoundError) or is_conflict(error)
    if answered:
        code = status[1] if status else ""
        return Failure(True, code in _FOR_NOW, False, f"the server answers {code}")
    is_name = _NAME.search(text) is not None
    is_network = "HttpError" in text and _FOR_GOOD.search(text) is None
    passes = is_network and not is_name
    return Failure(False, passes, is_network, "the server cannot be reached, or does not answer")


class MissingObjectError(CorruptStoreError):
    """There is no such object."""


def refused_option(error: Exception, url: StoreUrl, names: Iterable[str]) -> DaoError:
    """Return the error to raise where an object store cannot be made, before any request."""
    if isinstance(error, DaoError):
        return error
    text = str(error).partition("\n")[0]
    kind = type(error).__name__
    if kind == "UnknownConfigurationKeyError":
        found = re.search(r"key: '([^']{1,40})'", text)
        name = found[1] if found else ""
        near = near_matches(name, OPTIONS.get(url.service, ()))
        msg = f"storage_options: there is no option {name!r} for {url.service}.{near}"
        return ArgumentError(msg)
    if url.service == "http" and names:
        msg = "storage_options: a web server takes client_options and retry_config only."
        return ArgumentError(msg)
    # Values that the library quotes may be secret.
    said = re.sub(r"\"[^\"]*\"|'[^']*'", "…", text)[:200]
    return ArgumentError(f"storage_options: a value cannot be used for {url.service} ({said}).")


def is_conflict(error: BaseException) -> bool:
    """Whether another writer was faster."""
    return type(error).__name__ in {"AlreadyExistsError", "PreconditionError"}


def explained(
    error: BaseException, file: StoreUrl, doing: str = "read", seconds: float = 0.0
) -> DaoError:
    """Return the error to raise instead of one of obstore.

    Parameters
    ----------
    file
        What was being read or written.
    doing
        ``"read"`` or ``"written"``.
    seconds
        For how long it was tried.
    """
    if isinstance(error, DaoError):
        return error
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    answer = " ".join(m[1] for m in (status, code) if m)
    said = f" (the server said: {answer})" if answer else ""
    if "NoSuchBucket" in answer or "ContainerNotFound" in answer:
        return StorageError(f"{file}: there is no such bucket{said}. Look at the URL's spelling.")
    if isinstance(error, FileNotFoundError):
        return MissingObjectError(f"{file} is missing. Check the URL, or copy the file there.")
    if answer.startswith("416"):
        return CorruptStoreError(f"{file} is shorter than it was. Restore it from a copy.")
    return _other(type(error).__name__, text, said, file, doing, seconds)


def _other(kind: str, text: str, said: str, file: StoreUrl, doing: str, seconds: float) -> DaoError:
    wanted = _CREDENTIALS.get(file.service, "a server that lets everybody read")
    refused = kind in {"PermissionDeniedError", "UnauthenticatedError"}
    refused |= re.search("said: 40[13]", said) is not None
    if refused and file.service not in _CREDENTIALS:
        msg = f"{file} may not be {doing}{said}. dao reads what a web server lets everybody read."
        return StorageError(msg)
    if refused:
        msg = f"{file} may not be {doing} with these credentials{said}. They come from "
        return StorageError(f"{msg}storage_options= or the environment: {wanted}.")
    if not said and re.search("credential|token", text, re.IGNORECASE):
        return StorageError(f"{file} cannot be {doing}: no credentials were found ({wanted}).")
    if "RangeNotSupported" in text or "NotPartial" in text:
        msg = f"{file} cannot be {doing}: the server gives no parts of files (HTTP ranges). "
        return StorageError(msg + "Use another server, such as nginx, or copy the store here.")
    if kind in {"TypeError", "ValueError"}:
        return ArgumentError(f"storage_options: {file.service} cannot use a value given there.")
    reason = said or ": the server cannot be reached, or did not answer in time"
    if _NAME.search(text):
        reason = (
            ": the name of the server is not known. Check the URL or the endpoint, and the network"
        )
    tried = f" It was tried for {seconds:.0f} seconds." if seconds >= 1 else ""
    return StorageError(f"{file} cannot be {doing}{reason}.{tried} Try again later.")
