"""What went wrong on the network, as errors of dao: short, and without anything secret.

The messages of the library quote requests, in which signatures and tokens may stand. So nothing of
them is passed on but the status and the code that the server gave.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dao.errors import ArgumentError, CorruptStoreError, DaoError, StorageError, near_matches
from dao.remote.given import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dao.remote.url import StoreUrl

__all__ = ["MissingObjectError", "explained", "is_conflict", "refused_option"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{3,60})</Code>")
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


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


def explained(error: BaseException, file: StoreUrl, doing: str = "read") -> DaoError:
    """Return the error to raise instead of one of obstore.

    Parameters
    ----------
    file
        What was being read or written.
    doing
        ``"read"`` or ``"written"``.
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
    return _other(type(error).__name__, text, said, file, doing)


def _other(kind: str, text: str, said: str, file: StoreUrl, doing: str) -> DaoError:
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
    if kind in {"TypeError", "ValueError"}:
        return ArgumentError(f"storage_options: {file.service} cannot use a value given there.")
    reason = said or ": the server cannot be reached, or did not answer in time"
    return StorageError(f"{file} cannot be {doing}{reason}. Try again later.")
