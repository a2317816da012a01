"""``storage_options`` sorted: what is of the service, of the HTTP client, and of repeated requests.

obstore takes them apart and panics at an option that is in the wrong place, so people may pass all
of them side by side here, under the names that the documentation of obstore uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dao.errors import ArgumentError, near_matches

__all__ = ["OPTIONS", "Given", "sort_options"]

_FLAG, _DURATION, _TEXT, _COUNT, _HEADERS = "flag", "duration", "text", "count", "headers"
_CLIENT = {
    "allow_http": _FLAG,
    "allow_invalid_certificates": _FLAG,
    "connect_timeout": _DURATION,
    "default_content_type": _TEXT,
    "default_headers": _HEADERS,
    "http1_only": _FLAG,
    "http2_keep_alive_interval": _DURATION,
    "http2_keep_alive_timeout": _DURATION,
    "http2_keep_alive_while_idle": _FLAG,
    "http2_only": _FLAG,
    "pool_idle_timeout": _DURATION,
    "pool_max_idle_per_host": _COUNT,
    "proxy_url": _TEXT,
    "proxy_ca_certificate": _TEXT,
    "proxy_excludes": _TEXT,
    "root_certificate": _TEXT,
    "randomize_addresses": _FLAG,
    "read_timeout": _DURATION,
    "timeout": _DURATION,
    "user_agent": _TEXT,
}
_RETRY = {"max_retries": _COUNT, "retry_timeout": _DURATION}
_BACKOFF = {"init_backoff": _DURATION, "max_backoff": _DURATION, "base": _COUNT}
# Names that are suggested for a mistyped one; obstore knows more.
OPTIONS: dict[str, tuple[str, ...]] = {
    "s3": (
        "access_key_id", "bucket", "checksum_algorithm", "conditional_put", "default_region",
        "endpoint", "profile", "region", "request_payer", "role_arn", "secret_access_key",
        "session_token", "skip_signature", "unsigned_payload", "virtual_hosted_style_request",
        *_CLIENT, *_RETRY,
    ),
    "gcs": (
        "application_credentials", "bucket", "service_account", "service_account_key",
        "skip_signature", *_CLIENT, *_RETRY,
    ),
    "azure": (
        "account_key", "account_name", "client_id", "client_secret", "container_name", "endpoint",
        "sas_key", "skip_signature", "tenant_id", "token", "use_azure_cli", "use_emulator",
        *_CLIENT, *_RETRY,
    ),
    "http": (*_CLIENT, *_RETRY),
}  # fmt: skip
_PREFIXES = ("aws_", "azure_", "google_")
_PLACES = ("client_options", "retry_config", "config")
_WORDS = {
    _FLAG: "True or False",
    _DURATION: "seconds as a number, a datetime.timedelta, or a text such as '30s'",
    _TEXT: "a text",
    _COUNT: "a number",
    _HEADERS: "a dict of texts",
}


@dataclass
class Given:
    """The options of one object store, each where obstore wants it."""

    service: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)


def sort_options(options: Mapping[str, Any]) -> Given:
    """Sort options, flat or in ``client_options``, ``retry_config`` and ``config``.

    Raises
    ------
    dao.errors.ArgumentError
        If a name of the client or of repeated requests is unknown, or a value is of a wrong type.
        Values are not repeated in the message: they may be secret.
    """
    given = Given()
    for name, value in options.items():
        if not isinstance(name, str):
            msg = f"storage_options: {name!r} is not the name of an option. Pass texts as names."
            raise ArgumentError(msg)
        if value is not None and name not in _PLACES:
            _put(given, name, value)
    for name, value in _inside("config", options):
        _put(given, name, value)
    for name, value in _inside("client_options", options):
        given.client[_known(name, _CLIENT, "client_options")] = _checked(name, value, _CLIENT)
    for name, value in _inside("retry_config", options):
        _put_retry(given, _known(name, {**_RETRY, "backoff": ""}, "retry_config"), value)
    return given


def _put(given: Given, name: str, value: Any) -> None:
    plain = _plain(name)
    if plain in _CLIENT:
        given.client[plain] = _checked(plain, value, _CLIENT)
    elif plain in _RETRY or plain == "backoff":
        _put_retry(given, plain, value)
    elif name in {"profile", "credential_provider"} or isinstance(value, str | bool):
        given.service[name] = value
    else:
        raise _wrong(name, "a text, True or False", value)


def _put_retry(given: Given, name: str, value: Any) -> None:
    if name != "backoff":
        given.retry[name] = _checked(name, value, _RETRY)
        return
    pairs = _inside("backoff", {"backoff": value})
    found = {_known(n, _BACKOFF, "backoff"): _checked(n, v, _BACKOFF) for n, v in pairs}
    given.retry["backoff"] = found


def _inside(place: str, options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    value = options.get(place)
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise _wrong(place, "a dict", value)
    return [(str(n), v) for n, v in value.items() if v is not None]


def _plain(name: str) -> str:
    lowered = name.lower()
    prefix = next((p for p in _PREFIXES if lowered.startswith(p)), "")
    rest = lowered.removeprefix(prefix)
    return rest if rest in _CLIENT else name


def _known(name: str, names: Mapping[str, str], place: str) -> str:
    if name not in names:
        msg = f"storage_options: {place} has no option {name!r}.{near_matches(name, names)}"
        raise ArgumentError(msg)
    return name


def _checked(name: str, value: Any, kinds: Mapping[str, str]) -> Any:
    kind, is_client = kinds.get(name, _TEXT), kinds is _CLIENT
    converted = _CONVERTED[kind](value, is_client) if kind != _TEXT else _as_text(name, value)
    if converted is None:
        words = _WORDS[kind]
        raise _wrong(name, words if is_client else words.partition(", or")[0], value)
    return converted


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_flag(value: Any, _: object) -> Any:
    return value if isinstance(value, bool) or str(value).lower() in {"true", "false"} else None


def _as_duration(value: Any, is_client: bool) -> Any:  # noqa: FBT001 - passed by place
    if is_client and isinstance(value, str):
        return value
    if not (isinstance(value, timedelta) or (_is_number(value) and 0 <= value < 1e9)):
        return None
    given = value if isinstance(value, timedelta) else timedelta(seconds=value)
    return f"{given.total_seconds():.6f}s" if is_client else given


def _as_count(value: Any, is_client: bool) -> Any:  # noqa: FBT001 - passed by place
    if is_client and isinstance(value, str):
        return value
    if not _is_number(value) or value < 0:
        return None
    return str(value) if is_client else value


def _as_headers(value: Any, _: object) -> Any:
    return dict(value) if isinstance(value, Mapping) else None


def _as_text(name: str, value: Any) -> Any:
    is_text = isinstance(value, bytes) if name == "root_certificate" else False
    return value if is_text or isinstance(value, str) else None


_CONVERTED: dict[str, Callable[[Any, bool], Any]] = {
    _FLAG: _as_flag,
    _DURATION: _as_duration,
    _COUNT: _as_count,
    _HEADERS: _as_headers,
}


def _wrong(name: str, wanted: str, value: Any) -> ArgumentError:
    kind = type(value).__name__
    return ArgumentError(f"storage_options: {name} cannot be this {kind}. Pass {wanted}.")
