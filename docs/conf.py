"""Settings of the documentation; `make docs` builds it, and any warning is an error."""

import os
import re
import tempfile
from importlib.metadata import version as version_of
from pathlib import Path
from urllib.parse import unquote

from docutils.nodes import Text, literal_block
from sphinx.util import logging

project = "dao"
author = "dao developers"
copyright = "2026, dao developers"
release = version = version_of("dao-store")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
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

# Pages that are notebooks run with every build, each in an empty folder; an error there is one
# here. What TensorFlow and torch say on stderr is about this machine, and left out.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"
nb_merge_streams = True
# They find `real_cells`, and no IPython settings of whoever builds.
HERE = Path(__file__).parent
IPYTHON = HERE / "_build" / "ipython"
(IPYTHON / "profile_default").mkdir(parents=True, exist_ok=True)
(IPYTHON / "profile_default" / "ipython_kernel_config.py").write_text(
    "get_config().IPKernelApp.log_level = 40\n", encoding="utf-8"
)
SEARCHED = [str(HERE / "tutorials"), os.environ.get("PYTHONPATH", "")]
os.environ |= {
    "IPYTHONDIR": str(IPYTHON),
    "PYTHONPATH": os.pathsep.join(filter(None, SEARCHED)),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "sphinx_book_theme"
html_title = f"dao {release}"
html_sourcelink_suffix = ""  # what the button for downloads gives is a notebook
html_static_path = ["_static"]
html_css_files = ["dao.css"]
html_theme_options = {"show_toc_level": 2}


def without_last_line(_app, tree):
    """Leave out the empty line that ends a doctest; it is for doctest, not for readers."""
    for block in tree.findall(literal_block):
        if block.astext().endswith("\n"):
            block[:] = [Text(block.astext().rstrip("\n"))]
            block.rawsource = block.astext()


def no_paths_of_this_machine(_app, page, _template, context, _tree):
    """Warn, and so fail, if what ran on a page shows where it ran."""
    for path in (str(HERE.parent), tempfile.gettempdir() + os.sep):
        if path in context.get("body", ""):
            logging.getLogger(__name__).warning("%s shows %s", page, path, location=page)


def no_dead_links(app, error):
    """Warn, and so fail, if a page refers to a file that is not there."""
    if error or app.builder.format != "html":
        return
    for name in sorted(app.env.found_docs):
        page = Path(app.outdir) / f"{name}.html"
        shown = page.read_text(encoding="utf-8")
        for target in re.findall(r' (?:href|src)="([^"#?:]+)["#?]', shown):
            if not (page.parent / unquote(target)).is_file():
                logging.getLogger(__name__).warning("%s.html: no file %s", name, target)


def setup(app):
    app.connect("doctree-read", without_last_line)
    app.connect("html-page-context", no_paths_of_this_machine)
    app.connect("build-finished", no_dead_links)
    app.connect("autodoc-skip-member", lambda *a: a[2] in PLUMBING or None)
    app.connect(
        "autodoc-process-signature", lambda *a: ("()", None) if a[2] in MADE_BY_DAO else None
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
