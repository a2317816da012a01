"""``python -m dao``: the command ``dao``, where it is not on the path."""

from __future__ import annotations

from dao.cli import main

if __name__ == "__main__":
    main(prog_name="dao")
