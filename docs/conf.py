"""Settings of the documentation; `make docs` builds it, and any warning is an error."""

from importlib.metadata import version as version_of

project = "dao"
author = "dao developers"
copyright = "2026, dao developers"
release = version = version_of("dao-store")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]

# Types come from the signatures, so docstrings do not repeat them.
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = False
napoleon_use_rtype = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = f"dao {release}"
html_copy_source = False
