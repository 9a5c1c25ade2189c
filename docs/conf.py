"""The documentation site: pages of text and code that is run, and the reference from docstrings (`make docs`)."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

project = "exact-estimators"
author = copyright = "The exact-estimators authors"
version = release = version_of("exact-estimators")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = "exact-estimators"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"source_edit_link": None}

# A name in single backticks in a docstring is a link where it is one of the reference's.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Cells may import the scripts of `examples/`, and call the tools of the environment that builds the site.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parents[1] / "examples"), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# A page's cells run in its folder, at the first build and wherever the page has changed since.
nb_execution_mode = "cache"
nb_execution_in_temp = False
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
