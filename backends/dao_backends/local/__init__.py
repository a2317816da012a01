"""Backend ``local``: reads shards of a local folder itself and decodes in compiled loops."""

from dao_backends.local.reader import LocalBackend

__all__ = ["LocalBackend"]
