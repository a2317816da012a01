"""The on-disk format as values: frozen dataclasses and checks, no input or output.

``docs/format.md`` is the specification; this package is its executable half.
"""
