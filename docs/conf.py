"""Settings of Sphinx for the documentation site. tools/docs stages the pages and runs it; the sources are those of build/docs/source,
laid out as in the project, so that a link leads to the same page here and in the files as they stand."""
import os
import pathlib
import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

source = pathlib.Path(os.environ["SOFTSTEP_SOURCE"])
version_header = (source / "core/include/softstep/version.h").read_text()

project = "softstep"
author = "the authors of softstep"
copyright = "the authors of softstep, BSD-3-Clause"
version = release = re.search(r'version = "([^"]+)"', version_header).group(1)

root_doc = "docs/index"
exclude_patterns = ["README.md"]  # its parts are included where they belong
extensions = ["myst_parser", "breathe", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4  # the anchors are those that tests/structure/check_links.py knows
highlight_language = "text"

breathe_projects = {"softstep": os.environ["SOFTSTEP_DOXYGEN_XML"]}
breathe_default_project = "softstep"
breathe_domain_by_file_pattern = {"*/c/softstep.h": "c"}

html_theme = "furo"
html_title = f"softstep {version}"
html_static_path = ["_static"]
html_css_files = ["softstep.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "softstep_mathml"


def mathml(self, node):
    """Formulas as MathML, which browsers draw by themselves: nothing is loaded and no script runs."""
    block = isinstance(node, nodes.math_block)
    text = tex2mathml(node.astext(), as_block=block)
    self.body.append(f'<div class="formula">{text}</div>' if block else text)
    raise nodes.SkipNode


def source_file(app, env, node, content):
    """A link to a file of the sources that is no page: its text alone, as the file is not on the site."""
    if node.get("reftype") != "myst":
        return None
    target = node["reftarget"].partition("#")[0]
    folder = (source / node.get("refdoc", env.docname)).parent
    return content if target and (folder / target).resolve().exists() else None


def setup(app):
    app.add_html_math_renderer("softstep_mathml", (mathml, None), (mathml, None))
    app.connect("missing-reference", source_file)
