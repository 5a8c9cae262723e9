"""Settings of Sphinx for the documentation site. tools/docs stages the pages and runs it; the sources are those of build/docs/source,
laid out as in the project, so that a link leads to the same page here and in the files as they stand."""
import os
import pathlib
import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes

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

python_maximum_signature_line_length = 100  # a longer one has a parameter a line

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


def source_files(app, doctree):
    """A link to a file of the sources that is no page becomes its text alone, as the file is not on the site."""
    folder = (source / app.env.docname).parent
    for node in list(doctree.findall(addnodes.pending_xref)):
        target = node["reftarget"].partition("#")[0] if node.get("reftype") == "myst" else ""
        path = (folder / target).resolve() if target else None
        if path and path.exists() and not (path.suffix == ".md" and app.env.path2doc(str(staged(app, path))) in app.env.found_docs):
            node.replace_self(node.children)


def staged(app, path):
    return pathlib.Path(app.srcdir) / path.relative_to(source)


def setup(app):
    app.add_html_math_renderer("softstep_mathml", (mathml, None), (mathml, None))
    app.connect("doctree-read", source_files)
