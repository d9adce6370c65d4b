"""Configuration of the book. scripts/docs.py builds it; docs/design/book.md says how pages are written."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import sphinxcontrib.katex

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
WORK = ROOT / "build" / "book"  # scripts/docs.py puts KaTeX there
sys.path[:0] = [str(BOOK / "_ext"), str(BOOK / "_live" / "python"), str(ROOT)]

from book.notation import MACROS  # noqa: E402 - it is on the path now

from ddpm_np import __version__  # noqa: E402

project = "ddpm_np"
author = "The ddpm_np authors"
release = version = __version__
html_title = "ddpm_np: diffusion, line by line"

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton",
    "sphinx_design", "sphinxcontrib.katex", "book",
]
exclude_patterns = ["_ext", "_npm", "requirements.txt", "**.ipynb_checkpoints"]
nitpicky = False
root_doc = "index"

# Pages are Markdown, run when they are built. A cell that raises stops the build.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 4
myst_dmath_double_inline = False
nb_execution_mode = "auto"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_image_options = {"alt": "computed when the page was built"}

# The kernel is this Python, whatever kernels a machine knows by that name.
KERNEL = WORK / "jupyter" / "kernels" / "python3" / "kernel.json"
KERNEL.parent.mkdir(parents=True, exist_ok=True)
KERNEL.write_text(json.dumps({
    "argv": [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"],
    "display_name": "Python 3", "language": "python", "env": {"PYTHONPATH": str(ROOT)}}), "utf-8")
os.environ["JUPYTER_PATH"] = str(WORK / "jupyter")

# Mathematics is turned into HTML by KaTeX here, not by the reader's browser. Prerendering reads no katex_options.
katex_prerender = True
katex_js_path = str(WORK / "npm" / "node_modules" / "katex" / "dist" / "katex.min.js")
katex_css_path = "katex/katex.min.css"
sphinxcontrib.katex.KATEX_DEFAULT_OPTIONS.update({"throwOnError": True, "strict": "error", "macros": MACROS})
sphinxcontrib.katex.RENDER_TIMEOUT = 30.0  # seconds; a machine may be busy
sphinxcontrib.katex.STARTUP_TIMEOUT = 60.0

# The API, a page for each module, from docstrings. What is imported belongs to the module that defines it.
autodoc_typehints = "none"
add_module_names = False
autodoc_default_options = {"ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["cupy", "torch", "diffusers", "denoising_diffusion_pytorch", "pytest"]
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autosummary_generate = False
default_role = "code"
warnings.filterwarnings("ignore", "Unknown section .* Health Checks", module="numpydoc")  # of Hypothesis's docstrings

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static", str(WORK / "static")]
html_css_files = ["book.css", "demos.css"]
templates_path = ["_templates"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "ddpm_np"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"**": ["sidebar-nav-bs"]}
copyright = "the ddpm_np authors, MIT licence"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
