"""Options of URLs: flat or nested, each reaches its place; what cannot be used is refused in words."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import dao
from dao.errors import ArgumentError, DaoError, StorageError
from dao.panics import panics_as_errors
from dao.remote.given import sort_options
from dao.remote.network import at_once
from dao.remote.options import open_object_store
from dao.remote.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import anndata as ad

pytest.importorskip("obstore")
SECRET = "wJalrXUtnFEMI/bPxRfiCY"
URLS = {
    "s3": "s3://bucket/a.dao",
    "gcs": "gs://bucket/a.dao",
    "azure": "az://box/a.dao",
    "http": "https://host/a.dao",
}


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


def test_options_are_sorted() -> None:
    """Names of the client and of repeated requests may stand next to those of the service."""
    flat = sort_options(
        {
            "region": "eu-west-1",
            "allow_http": True,
            "AWS_ALLOW_HTTP": "true",
            "timeout": 30,
            "max_retries": 3,
            "retry_timeout": 2.5,
            "backoff": {"base": 2, "init_backoff": 1},
            "endpoint": None,
        }
    )
    assert flat.service == {"region": "eu-west-1"}
    assert flat.client == {"allow_http": "true", "timeout": "30.000000s"}
    assert flat.retry == {
        "max_retries": 3,
        "retry_timeout": timedelta(seconds=2.5),
        "backoff": {"base": 2, "init_backoff": timedelta(seconds=1)},
    }
    nested = sort_options(
        {
            "config": {"region": "eu-west-1", "allow_http": "true"},
            "client_options": {"timeout": timedelta(seconds=30)},
            "retry_config": {
                "max_retries": 3,
                "retry_timeout": timedelta(seconds=2.5),
                "backoff": {"base": 2, "init_backoff": 1},
            },
        }
    )
    assert nested == flat


CLIENT = {
    "allow_http": True,
    "allow_invalid_certificates": "true",
    "connect_timeout": 3,
    "default_content_type": "text/plain",
    "default_headers": {"x-lab": "ours"},
    "http1_only": True,
    "http2_keep_alive_interval": "5s",
    "http2_keep_alive_timeout": timedelta(minutes=1),
    "http2_keep_alive_while_idle": True,
    "http2_only": False,
    "pool_idle_timeout": 0.5,
    "pool_max_idle_per_host": 3,
    "proxy_url": "http://proxy:8080",
    "randomize_addresses": False,
    "read_timeout": 10,
    "timeout": "30s",
    "user_agent": "lab",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS.keys())
@pytest.mark.parametrize("name", CLIENT)
def test_every_client_option_is_taken_flat_and_nested(url: str, name: str) -> None:
    """By every service, as the documentation of obstore names them."""
    more = {"account_name": "us"} if url.startswith("az") else {}
    for given in ({name: CLIENT[name]}, {"client_options": {name: CLIENT[name]}}):
        open_object_store(parse_url(url), {**more, **given})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"allow_htpp": True}, "'allow_http'"),
        ({"regoin": "x"}, "'region'"),
        ({"client_options": {"tiemout": "3s"}}, "'timeout'"),
        ({"retry_config": {"max_retry": 3}}, "'max_retries'"),
        ({"backoff": {"bsae": 3}}, "'base'"),
        ({"allow_http": 1}, "allow_http cannot be this int. Pass True or False"),
        ({"timeout": "soon"}, "cannot be used"),
        ({"timeout": -1}, "timeout cannot be this int"),
        ({"timeout": [3]}, "timeout cannot be this list. Pass seconds"),
        ({"region": 3}, "region cannot be this int. Pass a text"),
        ({"region": {"a": 1}}, "region cannot be this dict"),
        ({"client_options": "x"}, "client_options cannot be this str. Pass a dict"),
        ({"retry_config": 3}, "retry_config cannot be this int"),
        ({"max_retries": "many"}, "max_retries cannot be this str"),
        ({"max_retries": 2.5}, "cannot be used"),
        ({"default_headers": {"a": 3}}, "cannot be used"),
        ({"proxy_url": "nope::"}, "cannot be used"),
        ({"root_certificate": "x"}, "cannot be used"),
        ({"virtual_hosted_style_request": "maybe"}, "cannot be used"),
        ({"credential_provider": 3}, "cannot be used"),
        ({3: "x"}, "storage_options.*[Pp]ass"),
        ({"aws_region": SECRET, "region": SECRET}, "cannot be used"),
        ({"user_agent": f"a\n{SECRET}"}, "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_refused(
    options: dict[Any, Any], words: str, make_study: Callable[..., ad.AnnData]
) -> None:
    """Before any request, with near names, and without the value, which may be secret."""
    calls = (
        lambda: dao.load_store(URLS["s3"], storage_options=options),
        lambda: dao.write_store(
            URLS["s3"], make_study(n_obs=3), storage_options=options, progress=False
        ),
    )
    for call in calls:
        with pytest.raises(ArgumentError, match=words) as caught:
            call()
        assert SECRET not in str(caught.value)


def test_a_web_server_has_no_options_of_a_service() -> None:
    """But those of the client and of repeated requests."""
    with pytest.raises(ArgumentError):
        open_object_store(parse_url(URLS["http"]), {"region": "x"})
    open_object_store(parse_url(URLS["http"]), {"timeout": 3, "max_retries": 0})


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """An S3 server with a bucket; its address."""
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="someone", aws_secret_access_key=SECRET,
        region_name="us-east-1",
    ).create_bucket(Bucket="options")  # fmt: skip
    yield address
    server.stop()


@pytest.mark.parametrize(
    "more",
    [
        {"allow_http": True},
        {"client_options": {"allow_http": True, "timeout": 20}, "max_retries": 0},
        {"timeout": timedelta(seconds=20), "user_agent": "lab", "retry_config": {"max_retries": 1}},
    ],
)
def test_options_reach_a_real_server(
    moto: str, more: dict[str, Any], make_study: Callable[..., ad.AnnData], tmp_path: Any
) -> None:
    """A store is written and read; its name has a space and a percent sign in it."""
    study = make_study(n_obs=9)
    url = f"s3://options/{tmp_path.name}/my atlas 5%.dao"
    options = {
        "endpoint": moto, "access_key_id": "someone", "secret_access_key": SECRET,
        "region": "us-east-1", **more,
    }  # fmt: skip
    dao.write_store(url, {"s": study}, storage_options=options, progress=False)
    store = dao.load_store(url, storage_options=options, cache_size=0)
    assert store.to_anndata().X.sum() == study.X.sum()


def test_a_panic_is_an_error_of_dao() -> None:
    """Of a real library, here and in other threads; `except Exception` catches it."""
    import obstore.store

    def panic() -> None:
        with panics_as_errors("s3://b/x", "obstore"):
            obstore.store.from_url("s3://b/x", allow_http=True)  # type: ignore[call-overload]

    with pytest.raises(StorageError, match="obstore failed"):
        panic()
    with pytest.raises(DaoError, match="s3://b/x"):
        at_once([panic, lambda: None, lambda: None])
    with pytest.raises(KeyboardInterrupt), panics_as_errors("x", "y"):
        raise KeyboardInterrupt
