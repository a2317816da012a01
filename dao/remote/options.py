"""From ``storage_options`` to an object store of obstore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.errors import ArgumentError
from dao.panics import panics_as_errors
from dao.paths import local_path
from dao.remote.given import sort_options
from dao.remote.problems import refused_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dao.remote.url import StoreUrl

__all__ = ["open_object_store"]

# Requests that fail are repeated by `dao.remote.outages`, which Ctrl-C can stop.
_RETRIES = {"max_retries": 0}
# How long an answer may pause, and take in all; shorter for a server that has not answered yet.
_TIMES = {"read_timeout": "30s", "timeout": "600s"}
_FIRST_TIMES = {"timeout": "10s"}
_ENDPOINTS = ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url", "azure_endpoint")


def open_object_store(
    url: StoreUrl, options: Mapping[str, Any], *, first_contact: bool = False
) -> Any:
    """Return the object store whose root is the folder of a dao store; nothing is requested yet.

    Parameters
    ----------
    options
        Those of obstore for the service, the HTTP client and repeated requests, side by side or
        in ``client_options`` and ``retry_config``; for S3 also ``profile``.
    first_contact
        Whether it is for requests to a server that has not answered yet.

    Raises
    ------
    dao.errors.MissingExtraError
        If obstore is not installed.
    dao.errors.ArgumentError
        If there is no such option, or its value cannot be used.
    """
    try:
        import obstore.store
    except ImportError as error:
        msg = f"{url.text.partition('://')[0]}://"
        raise missing_extra(msg, "cloud", error) from error
    sorted_options = sort_options(options)
    given, client = sorted_options.service, sorted_options.client
    if _is_plain(url, given):
        client.setdefault("allow_http", True)
    client = {**(_FIRST_TIMES if first_contact else _TIMES), **client}
    if url.service == "s3":
        given.update(_profile(given))
    # Which options there are depends on the service, which types cannot tell.
    from_url: Any = obstore.store.from_url
    try:
        with panics_as_errors(url, "obstore"):
            if sorted_options.retry:  # dao makes requests again; the library checks the options
                from_url(
                    str(url), client_options=client, retry_config=sorted_options.retry, **given
                )
            return from_url(str(url), client_options=client, retry_config=_RETRIES, **given)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds
        raise refused_option(error, url, given) from None


def _is_plain(url: StoreUrl, given: Mapping[str, Any]) -> bool:
    """Whether the user named a server without encryption."""
    named = [str(url), *(str(given.get(name, "")) for name in _ENDPOINTS)]
    if url.service == "s3":
        named += [os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")]
    return any(name.startswith("http://") for name in named)


def _profile(given: dict[str, Any]) -> dict[str, Any]:
    """Return what obstore needs for a profile of the AWS configuration, where one is wanted.

    obstore reads the environment and asks the machine that it runs on; profiles, and with them
    single sign-on and roles, are boto3's.
    """
    name = given.pop("profile", None) or os.environ.get("AWS_PROFILE")
    told = any("key" in k or "token" in k or k == "skip_signature" for k in given)
    told = told or "credential_provider" in given or "AWS_ACCESS_KEY_ID" in os.environ
    named = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    shared = local_path(named, "AWS_SHARED_CREDENTIALS_FILE")
    if name is None and (told or not shared.is_file()):
        return {}
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        if name is None:
            return {}
        msg = f"profile {name!r} of AWS"
        raise missing_extra(msg, "cloud", error) from error
    try:
        session = boto3.Session(profile_name=name)
        found: dict[str, Any] = {"credential_provider": Boto3CredentialProvider(session)}
    except Exception as error:  # what boto3 raises says what is in which file
        msg = f"The AWS profile {name or 'default'!r} has no credentials, or does not exist."
        raise ArgumentError(msg) from error
    if session.region_name and "region" not in given:
        found["region"] = session.region_name
    return found
