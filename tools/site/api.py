#!/usr/bin/env python3
"""The pages of the API, one a public header, from Doxygen's XML; and the public names that say nothing of themselves.

    api.py --headers core/include --xml DIR --out DIR
    api.py --headers core/include --xml DIR --check
    api.py --self-test

A page begins with the comment at the head of its header, and then has every name in the header's order. What a name means is
in the comment above it (`///`, `///<`; C: an ordinary comment, tools/site/doxygen_filter.py). --check fails where there is none:
- a C++ name must have a comment of its own, or an overload of it must. Destructors and what is `= default` or `= delete` need none;
- a C function may share the comment above the paragraph that it stands in.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

C_HEADER = "softstep/c/softstep.h"
PUBLIC = ("public", "protected")
DIRECTIVE = {"class": "doxygenclass", "struct": "doxygenstruct", "concept": "doxygenconcept", "enum": "doxygenenum",
             "typedef": "doxygentypedef", "variable": "doxygenvariable", "function": "doxygenfunction",
             "define": "doxygendefine"}


def text_of(element):
    return "".join(element.itertext()).strip() if element is not None else ""


class Name:
    """A public name: what Doxygen knows of it."""

    def __init__(self, element, kind, name, scope):
        self.kind, self.name, self.scope = kind, name, scope
        location = element.find("location")
        self.file, self.line = location.get("file"), int(location.get("line"))
        self.said = any(text_of(element.find(part)) for part in
                        ("briefdescription", "detaileddescription", "inbodydescription"))
        self.arguments = element.findtext("argsstring") or ""
        types = [text_of(parameter.find("type")) for parameter in element.findall("param")]
        self.signature = "" if types == ["void"] else ", ".join(types)

    def needs_no_words(self):
        return self.kind == "function" and (self.name.startswith("~") or
                                            self.arguments.endswith(("=default", "=delete", "= default", "= delete")))


def names_in(xml):
    """Public names, in no order. Members of classes have the class as their scope."""
    index = ET.parse(xml / "index.xml").getroot()
    found = {}
    for compound in index.findall("compound"):
        kind = compound.get("kind")
        if kind not in ("class", "struct", "concept", "namespace", "file"):
            continue
        root = ET.parse(xml / f"{compound.get('refid')}.xml").getroot().find("compounddef")
        of_class = kind in ("class", "struct")
        scope = root.findtext("compoundname")
        if root.get("prot", "public") == "private":
            continue
        if of_class or kind == "concept":
            found[root.get("id")] = Name(root, kind, scope, "")
        if kind == "file" and not root.findtext("compoundname").endswith("softstep.h"):
            continue
        for member in root.iter("memberdef"):
            if member.get("prot") not in PUBLIC or member.get("kind") == "friend":
                continue
            name = Name(member, member.get("kind"), member.findtext("name"), scope if kind != "file" else "")
            if kind == "file" and not name.file.endswith(C_HEADER):
                continue
            found[member.get("id")] = name
            for value in member.findall("enumvalue"):
                one = Name(member, "enumerator", value.findtext("name"), name.scope)
                one.said = bool(text_of(value.find("briefdescription")) or text_of(value.find("detaileddescription")))
                found[value.get("id")] = one
    hidden = [name.name for name in found.values() if name.kind in ("class", "struct") and name.name.endswith(
        ("::Impl", "::Parts", "::Place"))]
    return [name for name in found.values() if name.name not in hidden and name.scope not in hidden]


def paragraph_has_comment(text, line):
    """Whether the paragraph that this line (from 1) stands in begins with, or has above the line, a comment."""
    lines = text.split("\n")
    for at in range(line - 1, -1, -1):
        if not lines[at].strip():
            return False
        if "*/" in lines[at]:
            return True
    return False


def undocumented(names, headers):
    c_text = (headers / C_HEADER).read_text()
    said = {(name.scope, name.name) for name in names if name.said}
    for name in sorted(names, key=lambda n: (n.file, n.line)):
        if (name.scope, name.name) in said or name.needs_no_words():
            continue
        if name.file.endswith(C_HEADER):
            if name.kind == "function" and not paragraph_has_comment(c_text, name.line):
                yield f"{name.file}:{name.line}: {name.name} has no comment, nor has its paragraph"
        else:
            full = f"{name.scope}::{name.name}" if name.scope else name.name
            yield f"{name.file}:{name.line}: {name.kind} {full}{name.signature and '(' + name.signature + ')'} has no comment"


def introduction(text):
    """The comment at the head of a header, as Markdown: indented lines are code."""
    match = re.match(r"\A#pragma once\n\n((?://[^\n]*\n|\n(?=//))+)\n(?=#)", text)
    if match:
        lines = [line[3:] if line.startswith("// ") else line[2:] for line in match.group(1).split("\n")]
    elif text.startswith("/*"):
        lines = [line[3:].rstrip() for line in text[:text.index("*/")].split("\n")]
    else:
        return ""
    out, code = [], False
    for line in lines:
        indented = line.startswith("  ")
        if indented != code:
            out += ["```"] if code else (["", "```text"] if indented else [])
            code = indented
        out.append(line[2:] if indented else line)
    return "\n".join(out + (["```"] if code else [])).strip() + "\n"


def page(header, text, names, overloaded):
    out = [f"# {header.removeprefix('softstep/')}", "", "```{code-block} cpp", f"#include <{header}>", "```", "",
           introduction(text), "", "```{eval-rst}"]
    top = [name for name in names if not name.scope or name.scope == "softstep"]
    outer = {name.name for name in top if name.kind in ("class", "struct")}
    for name in sorted(top, key=lambda n: n.line):
        if name.kind not in DIRECTIVE or any(name.name.startswith(other + "::") for other in outer):
            continue
        if name.kind == "typedef" and name.name in outer:  # C: typedef struct name {..} name
            continue
        full = f"{name.scope}::{name.name}" if name.scope else name.name
        if name.kind == "function" and name.name in overloaded:
            full += f"({name.signature})"
        out.append(f".. {DIRECTIVE[name.kind]}:: {full}")
        if name.kind in ("class", "struct"):
            out.append("   :members:")
            out.append("   :protected-members:")
            out.append("   :undoc-members:")
        out.append("")
    return "\n".join(out + ["```", ""])


def self_test(root):
    """Each fault, planted in a copy of the headers, must be found; by Doxygen (docs/Doxyfile) or here."""
    model, c, isa = "softstep/model.h", C_HEADER, "softstep/isa.h"
    planted = (
        ("a class without a comment", isa, "std::string active_isa();", "std::string active_isa();\n\nstruct Planted {};\n"),
        ("a function without a comment", isa, "std::string active_isa();", "std::string active_isa();\n\nvoid planted(int);\n"),
        ("a member without a comment", isa, "  bool compiled; ", "  bool planted;\n  bool compiled; "),
        ("an enumerator without a comment", "softstep/loss.h", "  logistic, ", "  planted,\n  logistic, "),
        ("a method without a comment", model, "  virtual ~Model() = default;", "  virtual ~Model() = default;\n  void planted();"),
        ("a comment taken away", "softstep/scaled.h", "  /// Whether value() is 0 although the number is not.\n", ""),
        ("a C function without a comment", c, "/* ---- The library ---- */\n", "SOFTSTEP_EXPORT void softstep_planted(void);\n\n"),
        ("a parameter that is not there, in a comment", isa, "/// Forces an", "/// @param planted what\n/// Forces an"),
    )
    missed = 0
    for what, header, old, new in (("nothing", isa, "", ""), *planted):
        with tempfile.TemporaryDirectory() as place:
            copy = pathlib.Path(place)
            for folder in ("core/include", "tools/site"):
                shutil.copytree(root / folder, copy / folder)
            (copy / "docs").mkdir()
            (copy / "build/docs/doxygen").mkdir(parents=True)
            shutil.copy(root / "docs/Doxyfile", copy / "docs")
            path = copy / "core/include" / header
            text = path.read_text()
            if old not in text:
                sys.exit(f"api: {header} has no {old!r} to plant a fault at")
            path.write_text(text.replace(old, new, 1))
            doxygen = subprocess.run(["doxygen", "docs/Doxyfile"], cwd=copy, capture_output=True)
            faults = list(undocumented(names_in(copy / "build/docs/doxygen/xml"), copy / "core/include"))
            seen = doxygen.returncode != 0 or faults
        good = bool(seen) == (what != "nothing")
        missed += not good
        print(f"{'MISSED' if not good else 'seen  ' if seen else 'passed'} {what}")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--headers", type=pathlib.Path)
    parser.add_argument("--xml", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return 0 if self_test(pathlib.Path(__file__).resolve().parent.parent.parent) else 1
    names = names_in(arguments.xml)
    if arguments.check:
        faults = list(undocumented(names, arguments.headers))
        print("\n".join([*faults, f"api: {len(faults)} of {len(names)} public names say nothing of themselves"]))
        return 1 if faults or not names else 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    functions = [name.name for name in names if name.kind == "function" and name.scope in ("", "softstep")]
    overloaded = {name for name in functions if functions.count(name) > 1}
    for path in sorted(arguments.headers.rglob("*.h")):
        header = path.relative_to(arguments.headers).as_posix()
        here = [name for name in names if name.file == header or name.file.endswith("/" + header)]
        if here:
            target = header.removeprefix("softstep/").removesuffix(".h").replace("/", "-")
            (arguments.out / f"{target}.md").write_text(page(header, path.read_text(), here, overloaded))
    return 0


if __name__ == "__main__":
    sys.exit(main())
