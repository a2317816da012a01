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
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "py:obj"  # `dao.Store` in a docstring is a link

# Nobody makes these but dao itself, so their arguments are no interface.
MADE_BY_DAO = {"dao.Generator", "dao.Store"}
# Public for other rooms of dao alone.
PLUMBING = {
    "begin",
    "feature_positions",
    "full_batches_only",
    "iterate",
    "matrix_infos",
    "mean_nnz",
    "obs_column",
    "selected_datasets",
    "stored_row_bytes",
}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = f"dao {release}"
html_copy_source = False


def setup(app):
    app.connect("autodoc-skip-member", lambda *a: a[2] in PLUMBING or None)
    app.connect(
        "autodoc-process-signature", lambda *a: ("()", None) if a[2] in MADE_BY_DAO else None
    )
