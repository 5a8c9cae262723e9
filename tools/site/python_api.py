#!/usr/bin/env python3
"""The pages of the Python package, from its files as they stand; and its public names that say nothing of themselves.

    python_api.py --package python/softstep --out DIR
    python_api.py --package python/softstep --check
    python_api.py --self-test

Nothing is imported, so the package need not be built: names, signatures and docstrings are read from the syntax tree, those of the
extension from _core.pyi. Docstrings here are plain text with the headings of NumPy, in which |W|, x_t and L* are formulas. They
are no reStructuredText, which is why no extension of Sphinx reads them.

A public name is one of `__all__` of the package or of a module in MODULES. --check fails
- where a class, function, method or property has no docstring, or a field no comment `#:` above it;
- where a parameter of a docstring is not in the signature, one of the signature is not in a docstring that has Parameters, or one
  has no words;
- where a name of the extension has no page (PLACES), or a name of `__all__` is nowhere.
"""
import argparse
import ast
import pathlib
import re
import shutil
import sys
import tempfile

MODULES = ("torch", "jax", "scipy", "sklearn")  # beside the package itself
#: on which page a name of the extension is
PLACES = {
    "problem": ("Model",),
    "training": ("Checkpoints", "StopSource", "TrainState"),
    "max_margin": ("MarginCertificate",),
    "heads": ("HeadOptions", "HeadsState", "attention_backward", "attention_forward", "attention_hessian_product",
              "attention_tangent", "linear_attention_backward", "linear_attention_forward"),
    "library": ("active_isa", "available_threads", "compare_direction", "dual_norm", "force_isa", "isas", "matrix_norm"),
}
TITLES = {"heads": "Attention over heads", "many": "Many runs", "scaled": "Numbers with an exponent"}
LIBRARY = "Directions and norms; instruction sets and threads."
#: classes that are returned, never made by the caller: their constructors are not shown
RETURNED = ("TrainResult", "ManyTrainResult", "Comparison", "Objective", "Evaluation", "BlockCheck", "GradientCheck",
            "MaxMarginResult", "TiedMaxMarginResult", "StepContext", "Model", "TrainState")
HEADING = re.compile(r"^(\w[\w ]*)\n(-{3,})\n", re.MULTILINE)


class Source:
    """A file of the package."""

    def __init__(self, path):
        self.path, self.text = path, path.read_text()
        self.lines = self.text.split("\n")
        self.tree = ast.parse(self.text)
        self.defined = {node.name: node for node in self.tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        #: private names of types, which signatures are written without
        self.aliases = {node.targets[0].id: ast.unparse(node.value) for node in self.tree.body
                        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
                        and node.targets[0].id.startswith("_")}

    def public(self):
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return ast.literal_eval(node.value)
        return []

    def comment(self, line):
        """The comment `#:` above a line (from 1)."""
        found = []
        while line > 1 and self.lines[line - 2].strip().startswith("#:"):
            line -= 1
            found.insert(0, self.lines[line - 1].strip()[2:].strip())
        return " ".join(found)


class Name:
    """A public name, or a public member of one."""

    def __init__(self, full, kind, source, node, text, bases=(), members=()):
        self.full, self.kind, self.source, self.node, self.text = full, kind, source, node, text
        self.bases, self.members = list(bases), list(members)
        self.constructor = None

    def place(self):
        return f"{self.source.path.name}:{self.node.lineno}: {self.full}"


class Package:
    def __init__(self, root):
        self.root, self.faults = root, []
        self.extension = Source(root / "_core.pyi")
        self.sources = {path.relative_to(root).with_suffix("").as_posix(): Source(path) for path in sorted(root.rglob("*.py"))}
        #: page: (title, introduction, names)
        self.pages = {}
        place = {name: page for page, names in PLACES.items() for name in names}
        modules = [name for name in self.sources if "/" not in name and not name.startswith("_") and name not in MODULES]
        for public in self.sources["__init__"].public():
            if public.startswith("__"):
                continue
            found = next((module for module in modules if public in self.sources[module].public()), None)
            if found:
                self.add(found, "softstep", self.sources[found], public)
            elif public in self.extension.defined and public in place:
                self.add(place[public], "softstep", self.extension, public)
            else:
                self.faults.append(f"__init__.py: {public} is on no page")
        for module in MODULES:
            own = self.sources.get(module) or self.sources[f"{module}/__init__"]
            for public in own.public():
                found = next((source for name, source in self.sources.items()
                              if (name == module or name.startswith(module + "/")) and public in source.defined), None)
                if found:
                    self.add(module, f"softstep.{module}", found, public)
                else:
                    self.faults.append(f"{own.path.name}: softstep.{module}.{public} is in no file")
        self.known = {}
        for _, _, names in self.pages.values():
            for name in names:
                for one in (name, *name.members):
                    short = one.full.removeprefix("softstep.")
                    self.known[one.full] = self.known[short] = one.full
        of_class = {name.full: name for _, _, names in self.pages.values() for name in names if name.kind == "class"}
        for name in of_class.values():  # and what it has from another of these
            for base in (of_class[f"softstep.{base}"] for base in name.bases if f"softstep.{base}" in of_class):
                for member in base.members:
                    full = f"{name.full}.{member.full.rpartition('.')[2]}"
                    self.known.setdefault(full, member.full)
                    self.known.setdefault(full.removeprefix("softstep."), member.full)

    def add(self, page, module, source, public):
        if page not in self.pages:
            said = self.sources.get(page) or self.sources.get(f"{page}/__init__")
            title = f"softstep.{page}" if page in MODULES else TITLES.get(page, page.replace("_", " ").capitalize())
            self.pages[page] = (title, ast.get_docstring(said.tree) or "" if said else LIBRARY, [])
        node = source.defined[public]
        full = f"{module}.{public}"
        if isinstance(node, ast.FunctionDef):
            name = Name(full, "function", source, node, ast.get_docstring(node))
        else:
            name = Name(full, "class", source, node, ast.get_docstring(node))
            self.fill(name, source, node)
            if public in RETURNED:
                name.constructor = None
        self.pages[page][2].append(name)
        for one in (name, *name.members):
            self.check(one)

    def fill(self, name, source, node):
        """Members of a class, and those that it has from bases which are not public."""
        plain = {ast.unparse(base).split("[")[0] for base in node.bases} == {"NamedTuple"} or any(
            "dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        there = {member.full for member in name.members}
        documented = {label for label, _ in items(name.text or "")}
        fields = []

        def member(label, kind, at, text):
            full = f"{name.full}.{label}"
            if not label.startswith("_") and full not in there:
                there.add(full)
                name.members.append(Name(full, kind, source, at, text))

        for at in node.body:
            if isinstance(at, ast.FunctionDef):
                decorators = {ast.unparse(decorator) for decorator in at.decorator_list}
                kind = "property" if decorators & {"property", "cached_property"} else \
                    "classmethod" if "classmethod" in decorators else \
                    "staticmethod" if "staticmethod" in decorators else "method"
                if at.name == "__init__":
                    name.constructor = name.constructor or (source, at.args)
                    for inner in ast.walk(at):
                        target = inner.target if isinstance(inner, ast.AnnAssign) else \
                            inner.targets[0] if isinstance(inner, ast.Assign) else None
                        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self" and \
                                target.attr not in documented:
                            member(target.attr, "attribute", inner, source.comment(inner.lineno))
                member(at.name, kind, at, ast.get_docstring(at))
            elif isinstance(at, ast.AnnAssign):
                fields.append(at)
                member(at.target.id, "attribute", at, source.comment(at.lineno))
        if plain and not name.constructor:
            name.constructor = (source, ast.arguments(
                posonlyargs=[], kwonlyargs=[], kw_defaults=[], args=[ast.arg(at.target.id) for at in fields],
                defaults=[at.value for at in fields if at.value]))
        for base in node.bases:
            text = ast.unparse(base)
            last = text.removeprefix("_core.")
            if text.startswith("_core.") and last == name.full.rpartition(".")[2]:
                self.fill(name, self.extension, self.extension.defined[last])
            elif text.startswith("_") and text in source.defined:
                self.fill(name, source, source.defined[text])
            else:
                name.bases.append(last)

    def arguments(self, source, arguments):
        """As they are called: without self, and types under their public names."""
        arguments = ast.arguments(**{field: getattr(arguments, field, None) for field in arguments._fields})
        if arguments.args and arguments.args[0].arg in ("self", "cls"):
            arguments.args = arguments.args[1:]
        return self.type(source, arguments)

    def type(self, source, node):
        text = ast.unparse(node)
        for alias, value in source.aliases.items():
            text = re.sub(rf"\b{alias}\b", lambda _: value, text)
        return re.sub(r"\b_core\.|\bsoftstep\.(?:scaled|evaluation)\.", "", text).replace("numpy.typing.", "")

    def check(self, name):
        if not (name.text or "").strip():
            self.faults.append(f"{name.place()} has no {'comment' if name.kind == 'attribute' else 'docstring'}")
            return
        for label, words in items(name.text, "Parameters", "Attributes"):
            if not words:
                self.faults.append(f"{name.place()}: {label} has no words")
        documented = [label for label, _ in items(name.text)]
        owner = name.node.args if isinstance(name.node, ast.FunctionDef) else name.constructor and name.constructor[1]
        if documented and owner:
            there = [a.arg for a in (*owner.posonlyargs, *owner.args, *owner.kwonlyargs) if a.arg not in ("self", "cls")]
            for label in documented:
                if label not in there:
                    self.faults.append(f"{name.place()}: the parameter {label} of the docstring is not there")
            for label in there:
                if label not in documented:
                    self.faults.append(f"{name.place()}: the parameter {label} is not in the docstring")


def sections(text):
    """(None, prose) and (heading, [(label, text), ..]) in their order."""
    at = 0
    for match in HEADING.finditer(text):
        yield None, text[at:match.start()]
        end = text.find("\n\n", match.end())
        end = len(text) if end < 0 else end
        found = []
        for line in text[match.end():end].split("\n"):
            if not line.startswith(" "):
                found.append([line.strip(), ""])
            elif found:
                found[-1][1] = f"{found[-1][1]} {line.strip()}".strip()
        yield match.group(1), found
        at = end
    yield None, text[at:]


def items(text, *headings):
    """Each name and its words under these headings, Parameters unless others are given."""
    for heading, found in sections(text):
        for label, words in found if heading in (headings or ("Parameters",)) else ():
            for part in label.split(","):
                yield part.strip(), words


class Writer:
    """reStructuredText of plain text, whose names of the package become links."""

    def __init__(self, package, docs):
        self.package, self.docs = package, docs
        self.owner = ""  # the class or module whose words are written

    def words(self, text):
        out = []
        for k, part in enumerate(re.split(r"`+([^`]+)`+", text)):
            if k % 2:
                name = part.removesuffix("()")
                places = (f"{self.owner}.{name}", f"{self.owner.rpartition('.')[0]}.{name}", name, name.removeprefix("softstep."))
                full = next((self.package.known[place] for place in places if place in self.package.known), None)
                out.append(f":py:obj:`{part} <{full}>`\\ " if full else f"``{part}``\\ ")
                continue
            # Texts in quotation marks are of Python: as code, they keep the marks that they are written with.
            for i, piece in enumerate(re.split(r'("[\w:;=.+-]*")', part)):
                out.append(f"``{piece}``\\ " if i % 2 else self.plain(piece))
        return re.sub(r"\\ (?=[\s.,;:)!?\]]|$)", "", "".join(out))

    def plain(self, text):
        return re.sub(r"\bdocs/([\w\\-]+)\.md", self.page, re.sub(r"([\\*|_])", r"\\\1", text))

    def page(self, match):
        name = match.group(1).replace("\\", "")
        return f":doc:`/docs/{name}`" if (self.docs / f"{name}.md").exists() else match.group(0)

    def prose(self, text, indent):
        for paragraph in re.split(r"\n{2,}", text.strip("\n")):
            if not paragraph.strip():
                continue
            lines = paragraph.split("\n")
            if lines[0].startswith(">>>"):
                yield from (f"{indent}.. code-block:: pycon", "", *(f"{indent}   {line}" for line in lines), "")
            elif lines[0].startswith("  "):
                yield from (f"{indent}.. code-block:: text", "", *(f"{indent}   {line.strip()}" for line in lines), "")
            else:
                yield from (indent + self.words(" ".join(line.strip() for line in lines)), "")

    def docstring(self, text, indent):
        for heading, content in sections(text):
            if heading is None:
                yield from self.prose(content, indent)
                continue
            yield from (f"{indent}**{heading}**", "")
            for label, words in content:
                if heading in ("Parameters", "Attributes"):
                    label = ", ".join(f"``{part.strip()}``" for part in label.split(","))
                else:
                    label = self.words(f"`{label}`")
                yield f"{indent}{label}"
                yield f"{indent}   {self.words(words)}" if words else ""
            yield ""

    def name(self, name, indent=""):
        package, node, head = self.package, name.node, name.full
        options = []
        if name.kind == "attribute":
            if annotation := getattr(node, "annotation", None):
                options.append(f":type: {package.type(name.source, annotation)}")
            if getattr(node, "value", None) is not None and indent and isinstance(node, ast.AnnAssign) and \
                    isinstance(node.target, ast.Name):
                options.append(f":value: {package.type(name.source, node.value)}")
        elif name.kind == "property":
            if node.returns:
                options.append(f":type: {package.type(name.source, node.returns)}")
        elif name.kind == "class":
            if name.constructor:
                head += f"({package.arguments(*name.constructor)})"
        else:
            head += f"({package.arguments(name.source, node.args)})"
            if node.returns:
                head += f" -> {package.type(name.source, node.returns)}"
        directive = name.kind if name.kind in ("class", "function", "property", "attribute") else "method"
        if name.kind in ("classmethod", "staticmethod"):
            options.append(f":{name.kind}:")
        yield f"{indent}.. py:{directive}:: {head}"
        inner = indent + "   "
        yield from (inner + option for option in options)
        yield ""
        if not indent:
            self.owner = name.full if name.kind == "class" else name.full.rpartition(".")[0]
        bases = [base for base in name.bases if base not in ("NamedTuple", "object")]
        if bases:
            yield from (inner + "Derives from " + self.words(", ".join(f"`{base}`" for base in bases)) + ".", "")
        yield from self.docstring(name.text or "", inner)
        for member in name.members:
            yield from self.name(member, inner)

    def write(self, page):
        title, said, names = self.package.pages[page]
        self.owner = title
        yield from (f"# {title}", "", "```{eval-rst}")
        yield from self.docstring(said, "")
        for name in names:
            yield from self.name(name)
        yield from ("```", "")


def self_test(root):
    """Each fault, planted in a copy of the package, must be found, and none in the copy as it stands."""
    planted = (
        ("a function without a docstring", "datasets.py", '    """Name and summary of each generator."""\n', ""),
        ("a class without a docstring", "evaluation.py", '    """Loss, gap and gradients at one point."""\n', ""),
        ("a method without a docstring", "problem.py", "    def zeros(self)", "    def planted(self):\n        pass\n\n    def zeros(self)"),
        ("a property without a docstring", "training.py", '        """Whether Ctrl-C ended the run."""\n', ""),
        ("a field without a comment", "evaluation.py", "    #: L, plain\n", ""),
        ("a docstring of the extension taken away", "_core.pyi", '        """The loss L(W)."""\n', "        ...\n"),
        ("a member of a base that is not public", "_core.pyi", '        """Dimension d of a token."""\n', "        ...\n"),
        ("a parameter that is not there", "training.py", "    stop\n        A `StopSource`", "    planted\n        What.\n    stop\n        A `StopSource`"),
        ("a parameter that is left out", "training.py", "    callback\n        Called with each row of the trace, a dict; it stops the "
         "run by returning False. What it raises leaves `train`.\n", ""),
        ("a parameter without words", "problem.py", "        u, [dim]. None where it is trained.\n", ""),
        ("a name of the extension without a page", "__init__.py", '    "active_isa",\n', '    "active_isa",\n    "observe",\n'),
        ("a public name that is nowhere", "torch/__init__.py", '__all__ = ["NGD"', '__all__ = ["Planted", "NGD"'),
        ("a function of a module without a docstring", "scipy.py", '        """The start of training, W = 0."""\n', ""),
    )
    missed = 0
    for what, file, old, new in (("nothing", "problem.py", "", ""), *planted):
        with tempfile.TemporaryDirectory() as place:
            copy = pathlib.Path(place) / "softstep"
            shutil.copytree(root, copy, ignore=shutil.ignore_patterns("*.so", "bin", "__pycache__"))
            text = (copy / file).read_text()
            if old not in text:
                sys.exit(f"python_api: {file} has no {old!r} to plant a fault at")
            (copy / file).write_text(text.replace(old, new, 1))
            seen = Package(copy).faults
        good = len(seen) == (what != "nothing")
        missed += not good
        print(f"{'MISSED' if not good else 'seen  ' if seen else 'passed'} {what}{'' if good else f': {seen}'}")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--package", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    top = pathlib.Path(__file__).resolve().parent.parent.parent
    if arguments.self_test:
        return 0 if self_test(top / "python/softstep") else 1
    package = Package(arguments.package)
    names = sum(1 + len(name.members) for _, _, names in package.pages.values() for name in names)
    if arguments.check:
        print("\n".join([*package.faults, f"python_api: {len(package.faults)} faults in the words of {names} public names"]))
        return 1 if package.faults or not names else 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    writer = Writer(package, top / "docs")
    wanted = {f"{page}.md": "\n".join(writer.write(page)) for page in package.pages}
    for path in arguments.out.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = arguments.out / name
        if not path.exists() or path.read_text() != text:  # what has not changed is not read again
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
