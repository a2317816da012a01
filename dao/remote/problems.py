"""What went wrong on the network, as errors of dao: short, and without anything secret.

The messages of the library quote requests, in which signatures and tokens may stand. So nothing of
them is passed on but the status and the code that the server gave.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dao.errors import ArgumentError, CorruptStoreError, DaoError, StorageError

if TYPE_CHECKING:
    from dao.remote.url import StoreUrl

__all__ = ["MissingObjectError", "explained", "is_conflict"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{3,60})</Code>")
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class MissingObjectError(CorruptStoreError):
    """There is no such object."""


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
        return MissingObjectError(f"{file} is missing. Restore it from a copy.")
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
    if kind == "UnknownConfigurationKeyError":
        key = re.search(r"key: '([^']{1,40})'", text)
        name = f" {key[1]!r}" if key else ""
        return ArgumentError(f"storage_options: there is no option{name} for {file.service}.")
    if not said and re.search("credential|token", text, re.IGNORECASE):
        return StorageError(f"{file} cannot be {doing}: no credentials were found ({wanted}).")
    if kind in {"TypeError", "ValueError"}:
        return ArgumentError(f"storage_options: {file.service} cannot use a value given there.")
    reason = said or ": the server cannot be reached, or did not answer in time"
    return StorageError(f"{file} cannot be {doing}{reason}. Try again later.")
