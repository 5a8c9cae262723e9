#!/usr/bin/env python3
"""What the pages show is compiled and run as it stands, page by page, each in an empty folder.

    snippets.py --source DIR --prefix DIR --build DIR [--python PYTHON] [--keep DIR] [PAGE...]
    snippets.py --self-test

The words behind the language of a fenced block say what happens to it:

    ```cpp file=main.cpp      written to that file of the page's folder (any language), for the commands that follow
    ```cpp compile            a whole file: compiled with warnings as errors. Also c
    ```cpp body               statements: put into a main() behind #include <softstep/softstep.h>, compiled, linked and run
    ```sh run                 run by bash -euo pipefail; `exit=2` where that is the exit code that is wanted
    ```python run             run by the Python that has the package softstep
    ```text output            what the block before has printed. `...` on a line of its own stands for any lines, elsewhere for
                              any part of a line
    ```sh shown=REASON        not run, and why: a word, with hyphens

Blocks of text, CMake and other languages need no words; sh, bash, console, c, cpp and python do. A command in an indented block is
a fault too, as nothing would run it. Commands find the installed package and the program: PATH, CMAKE_PREFIX_PATH, PKG_CONFIG_PATH
are set. With the word `sources` on one of its blocks a page's folder holds the sources as `softstep/`. A project that embeds the sources links the
object files of the build that is tested, where they are the same, by the option SOFTSTEP_OBJECTS; nothing else is added.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RUN = {"sh", "bash", "console", "c", "cpp", "python"}
MODES = ("run", "compile", "body", "output")
CXX = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"]
C = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"]
FENCE = re.compile(r"^([ ]*)(`{3,}|~{3,})([^\n`]*)\n(.*?)^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?:    [^\n]*\n)+")
COMMAND = re.compile(r"^    (?:softstep|cmake|tools/|pip|python3?|cc|c\+\+|g\+\+|\./|ctest|git|benchmarks/|build/)", re.MULTILINE)
TIMEOUT = 900


class Fault(Exception):
    pass


class Block:
    def __init__(self, page, text, match):
        indent = match.group(1)
        words = match.group(3).split()
        self.page, self.line = page, text.count("\n", 0, match.start()) + 1
        self.language = words[0] if words else ""
        self.options = dict(word.partition("=")[::2] for word in words[1:])
        self.text = re.sub(rf"^{indent}", "", match.group(4), flags=re.MULTILINE) if indent else match.group(4)

    def __str__(self):
        return f"{self.page}:{self.line}"

    def mode(self):
        found = [mode for mode in (*MODES, "file", "shown") if mode in self.options]
        if len(found) > 1:
            raise Fault(f"{self}: {' and '.join(found)} at once")
        if not found and self.language in RUN:
            raise Fault(f"{self}: a block of {self.language} that says not what happens to it")
        if found == ["shown"] and not self.options["shown"]:
            raise Fault(f"{self}: shown=REASON needs a reason")
        return found[0] if found else None


def blocks_of(name, text):
    blocks = [Block(name, text, match) for match in FENCE.finditer(text) if not match.group(3).strip().startswith("{")]
    rest = FENCE.sub(lambda match: "\n" * match.group().count("\n"), text)
    for match in INDENTED.finditer(rest):
        if COMMAND.search(match.group()):
            line = rest.count("\n", 0, match.start()) + 1
            raise Fault(f"{name}:{line}: a command in an indented block, which nothing runs")
    return blocks


def pattern(line):
    return ".*".join(re.escape(part) for part in line.rstrip().split("..."))


def same(wanted, seen):
    """Whether the lines seen are those wanted, with ... for what may be anything."""
    lines = [line.rstrip() for line in seen.strip("\n").split("\n")]
    expression = r"\n".join(r"(?:.*\n)*?.*" if line.strip() == "..." else pattern(line) for line in wanted.strip("\n").split("\n"))
    return re.fullmatch(expression, "\n".join(lines)) is not None


class Folder:
    """Where the blocks of one page are run."""

    def __init__(self, place, arguments):
        self.place, self.arguments, self.last = place, arguments, None
        prefix = arguments.prefix
        tools = place.parent / "bin"
        tools.mkdir(exist_ok=True)
        cmake = shutil.which("cmake", path="/usr/bin") or shutil.which("cmake")
        (tools / "cmake").write_text(f"""#!/bin/sh
case " $* " in *" --build "*|*" --install "*|*" -E "*|*" --version "*) exec {cmake} "$@" ;; esac
exec {cmake} "$@" -DSOFTSTEP_OBJECTS={arguments.build}/softstep_objects.txt
""")
        (tools / "cmake").chmod(0o755)
        python = pathlib.Path(arguments.python).parent if arguments.python else None
        path = [tools, prefix / "bin", *([python] if python else []), "/usr/bin", "/bin"]
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SOFTSTEP", "OMP_", "PYTHON"))},
            "PATH": ":".join(str(part) for part in path), "CMAKE_PREFIX_PATH": str(prefix), "HOME": str(place.parent),
            "PKG_CONFIG_PATH": str(next(prefix.glob("lib*/**/pkgconfig"), prefix / "lib/pkgconfig")), "LC_ALL": "C.UTF-8",
            "TERM": "dumb", "CCACHE_DISABLE": os.environ.get("CCACHE_DISABLE", ""),
            "PYTHONDONTWRITEBYTECODE": "1"}
        if not self.environment["CCACHE_DISABLE"]:
            del self.environment["CCACHE_DISABLE"]

    def call(self, block, *command, code=0):
        result = subprocess.run([str(word) for word in command], cwd=self.place, env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
        if result.returncode != code:
            raise Fault(f"{block}: exit code {result.returncode}, not {code}\n{result.stdout}")
        return result.stdout

    def flags(self, block, *options):
        return self.call(block, "pkg-config", *options, "softstep").split()

    def run(self, block):
        mode = block.mode()
        if mode == "file":
            target = self.place / block.options["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif mode == "compile":
            source = self.place / f"compile_{block.line}.{'c' if block.language == 'c' else 'cpp'}"
            source.write_text(block.text)
            compiler = ["cc", *C] if block.language == "c" else ["c++", *CXX]
            self.call(block, *compiler, "-I", self.place, *self.flags(block, "--cflags"), "-c", source, "-o", self.place / "compiled.o")
        elif mode == "body":
            source, program = self.place / f"body_{block.line}.cpp", self.place / f"body_{block.line}"
            source.write_text("#include <softstep/softstep.h>\n#include <cstdio>\n#include <iostream>\n#include <memory>\n#include <vector>\n\n"
                              f"int main() {{\n{block.text}}}\n")
            self.call(block, "c++", *CXX, source, "-o", program, *self.flags(block, "--static", "--cflags", "--libs"))
            self.last = self.call(block, program)
        elif mode == "run":
            code = int(block.options.get("exit", 0))
            if block.language == "python":
                if not self.arguments.python:
                    raise Fault(f"{block}: no --python was given to run this")
                self.last = self.call(block, self.arguments.python, "-c", block.text, code=code)
            elif block.language == "sh":
                self.last = self.call(block, "bash", "-euo", "pipefail", "-c", block.text, code=code)
            else:
                raise Fault(f"{block}: {block.language} cannot be run")
        elif mode == "output":
            if self.last is None:
                raise Fault(f"{block}: output of nothing")
            if not same(block.text, self.last):
                raise Fault(f"{block}: this is not what was printed:\n{self.last}")


def check_page(name, text, arguments, keep=None):
    """(blocks run, faults); a fault ends the page."""
    try:
        blocks = blocks_of(name, text)
        for block in blocks:
            block.mode()
    except Fault as fault:
        return 0, [str(fault)]
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(keep or place) / "page"
        folder.mkdir(parents=True)
        if any("sources" in block.options for block in blocks):
            (folder / "softstep").symlink_to(arguments.source)
        run, here = 0, Folder(folder, arguments)
        for block in blocks:
            try:
                here.run(block)
            except (Fault, OSError, subprocess.TimeoutExpired) as fault:
                return run, [str(fault)]
            run += block.mode() not in (None, "shown")
    return run, []


def self_test(arguments):
    fence = "```"
    good = {
        "a command and its output": f"{fence}sh run\necho one two\n{fence}\n\n{fence}text output\none ...\n{fence}\n",
        "lines left out": f"{fence}sh run\nprintf 'a\\nb\\nc\\n'\n{fence}\n\n{fence}text output\na\n...\nc\n{fence}\n",
        "an exit code": f"{fence}sh run exit=3\nexit 3\n{fence}\n",
        "statements": f"{fence}cpp body\nstd::puts(softstep::version);\n{fence}\n",
    }
    bad = {
        "a command that fails": f"{fence}sh run\nfalse\n{fence}\n",
        "a command before the last that fails": f"{fence}sh run\nfalse | true\ntrue\n{fence}\n",
        "another exit code": f"{fence}sh run exit=3\nexit 2\n{fence}\n",
        "another output": f"{fence}sh run\necho one\n{fence}\n\n{fence}text output\ntwo\n{fence}\n",
        "more output": f"{fence}sh run\nprintf 'a\\nb\\n'\n{fence}\n\n{fence}text output\na\n{fence}\n",
        "a block that says nothing": f"{fence}sh\ntrue\n{fence}\n",
        "a block that is shown without a reason": f"{fence}sh shown\ntrue\n{fence}\n",
        "C++ that does not compile": f"{fence}cpp compile\nint x = y;\n{fence}\n",
        "C++ with a warning": f"{fence}cpp body\nint unused;\n{fence}\n",
        "C that does not compile": f"{fence}c compile\nint f(void) {{ return g(); }}\n{fence}\n",
        "a program that fails": f"{fence}cpp body\nreturn 1;\n{fence}\n",
        "a name that the library does not have": f"{fence}cpp body\nsoftstep::no_such_name();\n{fence}\n",
        "an option that the program does not have": f"{fence}sh run\nsoftstep info --no-such-option\n{fence}\n",
        "a command in an indented block": "text\n\n    softstep info\n\n",
    }
    missed = 0
    for wanted, pages in ((False, good), (True, bad)):
        for what, text in pages.items():
            seen = bool(check_page("planted.md", text, arguments)[1])
            missed += seen != wanted
            print(f"{'MISSED' if seen != wanted else 'seen  ' if wanted else 'passed'} {what}")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--prefix", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--python")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.source, arguments.prefix, arguments.build = (
        path.resolve() for path in (arguments.source, arguments.prefix, arguments.build))
    if arguments.self_test:
        return 0 if self_test(arguments) else 1
    failed = total = 0
    for page in arguments.pages:
        name = page.as_posix()
        keep = arguments.keep and arguments.keep / name.replace("/", "_")
        run, faults = check_page(name, page.read_text(), arguments, keep)
        total += run
        failed += len(faults)
        print("\n".join([f"{name}: {run} blocks", *faults]), flush=True)
    print(f"snippets: {total} blocks compiled or run, {failed} pages failed")
    return 1 if failed or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
