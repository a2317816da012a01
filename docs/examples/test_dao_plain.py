"""The backend of the page "Write a backend", held to the contract."""

from dao.testing import BackendContract


class TestPlain(BackendContract):
    backend_name = "plain"
