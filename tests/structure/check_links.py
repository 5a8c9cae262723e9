#!/usr/bin/env python3
"""What the project's texts point at is there: links of its Markdown, sections of docs/mathematics.md, files named in passing.

    check_links.py SOURCE_DIR [--self-test]

Code cites the mathematics as "docs/mathematics.md, section 2.3"; the number is that of a heading. Links to other hosts are
not followed.
"""
import pathlib
import re
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from structure import Violation, run_script, source_files  # noqa: E402

MATHEMATICS = "docs/mathematics.md"
CODE = (".h", ".cpp", ".def", ".py", ".cmake", ".txt", ".sh", "")
ITSELF = "tests/structure/check_links.py"  # quotes wrong ones

FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?:(?:    |\t)[^\n]*\n?|\n(?=    ))+")
CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s+(\S+)|\b(?:src|href)=\"([^\"]+)\"", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)

# A number may stand on the next line of a comment.
BREAK = r"(?:\s|\n\s*(?://[/!]?<?|#|\*))+"
NUMBER = r"\d+(?:\.\d+)*"
NUMBERS = rf"{NUMBER}(?:(?:,|{BREAK}and|{BREAK}to){BREAK}{NUMBER})*"
CITATION = re.compile(rf"docs/mathematics\.md(?:,{BREAK}sections?{BREAK}({NUMBERS}))?")
OLD_CITATION = re.compile(rf"(?<!docs/)\bmathematics(?:\.md)?,?{BREAK}sections?\b|\(mathematics[,:]|mathematics of this project")
OWN_SECTION = re.compile(rf"\bsections?{BREAK}({NUMBERS})")

# A file by its path from the root. Placeholders (<name>, NAME, *) and folders of builds are none.
PATH = re.compile(r"(?<![\w./<{$*-])((?:core|simd|tests|tools|benchmarks|docs|cmake)/[\w./-]*\w\.(?:h|cpp|def|py|md|cmake|svg))(?![\w*<>/{.-]*[*<>{])")


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def blanked(text, pattern):
    """The text with every match replaced by blanks, lines kept."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def prose(text):
    return blanked(blanked(blanked(text, FENCE), INDENTED), CODE_SPAN)


def headings(text):
    return [match.group(1) for match in HEADING.finditer(blanked(blanked(text, FENCE), INDENTED))]


def anchors(text):
    """As GitHub makes them of headings: letters, digits, hyphens and underscores, numbered where they repeat."""
    seen, out = {}, set()
    for heading in headings(text):
        heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        out.add(slug if count == 0 else f"{slug}-{count}")
    return out | set(re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", text))


def check_markdown(root, path, text):
    name = path.relative_to(root).as_posix()
    plain = prose(text)
    for match in LINK.finditer(plain):
        link = next(group for group in match.groups() if group)
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        line = line_of(plain, match.start())
        file, _, anchor = urllib.parse.unquote(link).partition("#")
        target = (path.parent / file).resolve() if file else path
        if file.startswith("/") or not target.is_relative_to(root):
            yield Violation(name, line, f"{link}: leads out of the project")
        elif not target.exists():
            yield Violation(name, line, f"{link}: there is no such file")
        elif anchor and target.suffix != ".md":
            yield Violation(name, line, f"{link}: {target.name} has no headings to point at")
        elif anchor and anchor not in anchors(target.read_text()):
            yield Violation(name, line, f"{link}: no heading has this anchor")


def check_citations(name, text, sections):
    if "mathematics" not in text:
        return
    for match in OLD_CITATION.finditer(text):
        yield Violation(name, line_of(text, match.start()), f"cite it as \"{MATHEMATICS}, section N\"")
    for match in CITATION.finditer(text):
        line = line_of(text, match.start())
        if match.group(1) is None and not name.endswith(".md"):
            yield Violation(name, line, f"{MATHEMATICS} is cited without a section")
        for number in re.findall(NUMBER, match.group(1) or ""):
            if number not in sections:
                yield Violation(name, line, f"{MATHEMATICS} has no section {number}")


def check_paths(root, name, text):
    """Files named in Markdown and in comments of C++."""
    for number, line in enumerate(text.split("\n"), 1):
        if "/" not in line:
            continue
        if not name.endswith(".md"):
            line = "".join(line.partition("//")[1:])
        for match in PATH.finditer(line):
            if not (root / match.group(1)).exists():
                yield Violation(name, number, f"{match.group(1)}: there is no such file")


def check(root):
    mathematics = root / MATHEMATICS
    text = mathematics.read_text() if mathematics.is_file() else ""
    found = [re.match(rf"({NUMBER})\.?\s", heading) for heading in headings(text)]
    sections = [match.group(1) for match in found if match]
    if not sections:
        yield Violation(MATHEMATICS, 0, "no numbered section found")
    for number in sorted({number for number in sections if sections.count(number) > 1}):
        yield Violation(MATHEMATICS, 0, f"section {number} is there more than once")
    for match in OWN_SECTION.finditer(text):
        for number in re.findall(NUMBER, match.group(1)):
            if number not in sections:
                yield Violation(MATHEMATICS, line_of(text, match.start()), f"there is no section {number}")

    citations = 0
    for path in source_files(root):
        name = path.relative_to(root).as_posix()
        if path.suffix not in CODE + (".md",) or name == ITSELF:
            continue
        if name.startswith("docs/installed/"):  # links from where it is installed: check_package.py
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        citations += path.suffix != ".md" and MATHEMATICS in text
        yield from check_citations(name, text, sections)
        if path.suffix in (".md", ".h", ".cpp", ".def"):
            yield from check_paths(root, name, text)
        if path.suffix == ".md":
            yield from check_markdown(root, path, text)
    if citations == 0:
        yield Violation(MATHEMATICS, 0, "no file of the code cites it")


def add(text):
    return lambda old: old + text


def planted():
    kernel = "simd/kernels/attention.h"
    yield "a link to a file that is not there", {"README.md": add("\n[x](docs/gone.md)\n")}
    yield "a picture that is not there", {"README.md": add("\n![x](docs/gone.svg)\n")}
    yield "a link by reference to nothing", {"README.md": add("\n[x]: docs/gone.md\n")}
    yield "a link to a heading that is not there", {"README.md": add("\n[x](docs/mathematics.md#gone)\n")}
    yield "a link to a heading of its own that is not there", {"README.md": add("\n[x](#gone)\n")}
    yield "a link out of the project", {"README.md": add("\n[x](../elsewhere)\n")}
    yield "a link in a file of its own", {"docs/planted.md": "[x](mathematics.md) [y](README.md)\n"}
    yield "a linked file taken away", {"docs/one_minus_cos.svg": None}
    yield "a heading renamed", {MATHEMATICS: lambda old: old.replace("## 2. The kernel", "## 2. A kernel")}
    yield "a section that is not there", {kernel: add(f"// {MATHEMATICS}, section 99\n")}
    yield "a subsection that is not there", {kernel: add(f"// {MATHEMATICS}, section 2.99\n")}
    yield "the second of two sections not there", {kernel: add(f"// {MATHEMATICS}, sections 2 and 99\n")}
    yield "a section number on the next line", {kernel: add(f"// {MATHEMATICS},\n  /// section 99\n")}
    yield "a citation without a section", {kernel: add(f"// {MATHEMATICS} says why\n")}
    yield "a citation of the old kind", {kernel: add("// (mathematics, section 2)\n")}
    yield "another of the old kind", {kernel: add("// (mathematics: token scores)\n")}
    yield "a section of the mathematics that it does not have itself", {MATHEMATICS: add("\nSee section 99.\n")}
    yield "a section twice", {MATHEMATICS: add("\n## 2. Once more\n")}
    yield "the mathematics taken away", {MATHEMATICS: None}
    yield "a test named in a comment that is not there", {kernel: add("// held by tests/simd/test_gone.cpp\n")}


if __name__ == "__main__":
    run_script(check, list(planted()))
