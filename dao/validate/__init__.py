"""Validate: read every byte of a store and hold it against the format."""

from dao.validate.report import Report
from dao.validate.store import validate_store

__all__ = ["Report", "validate_store"]
