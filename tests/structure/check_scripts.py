#!/usr/bin/env python3
"""What the shell scripts of tools/ do where no compiler is needed to see it: a lane of tools/check without a test is red, and tools/release
leaves a whole folder, however its name is written, and tools/setup lists packages where there is no apt.

    check_scripts.py SOURCE
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# Functions of the environment come before the programs that common.sh puts first on PATH. What a release is built of is not of interest.
NOTHING_BUILT = {f"BASH_FUNC_{name}%%": "() { :; }" for name in ("cmake", "cpack")}


def bash(folder, script, environment=None):
    return subprocess.run(["bash", "-c", script], cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True)


def lane(source, folder, tests):
    """Whether the lane of a build with these tests passes."""
    build = folder / "build" / "dev"
    (build / "Testing" / "Temporary").mkdir(parents=True, exist_ok=True)
    (build / "Testing" / "Temporary" / "LastTest.log").touch()
    (build / "CTestTestfile.cmake").write_text("".join(f'add_test({name} "{command}")\n' for name, command in tests.items()))
    text = (source / "tools" / "check").read_text()
    function = text[text.index("\ntests() {"):]
    function = function[:function.index("\n}\n") + 3]
    return bash(folder, f"set -euo pipefail\ncores=1{function}\nif tests dev; then exit 0; else exit 1; fi").returncode == 0


def repository(source, folder):
    """A commit with what tools/release looks at, and its environment of Python."""
    for name in ("tools/release", "tools/common.sh", "core/include/softstep/version.h", "packaging/requirements.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, folder / name)
    (folder / ".gitignore").write_text("build\nout\n*.new.*\nreleased\n")
    venv = folder / "build" / "packaging" / "venv"
    (venv / "bin").mkdir(parents=True)
    shutil.copy(folder / "packaging" / "requirements.txt", venv)
    python = venv / "bin" / "python"
    python.write_text('#!/bin/sh\nwhile [ "$1" != --out ]; do shift; done\n: >"$2"\n')
    python.chmod(0o755)
    made = bash(folder, "git init -q . && git add . && git -c user.name=x -c user.email=x commit -q -m x")
    if made.returncode != 0:
        raise RuntimeError(made.stderr)


def release(folder, out):
    parts = " ".join(f"--without {part}" for part in ("debian", "python", "documentation"))
    return bash(folder, f"tools/release --no-setup {parts} --out '{out}'", NOTHING_BUILT)


def facts(source):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        yield "a lane whose test passes is green", lane(source, folder, {"good": "true"})
        yield "a lane whose test fails is red", not lane(source, folder, {"good": "true", "bad": "false"})
        yield "a lane without a test is red", not lane(source, folder, {})
    # On a system without apt the packages are listed all the same, and no silence is an answer.
    for word in ("--fuzz", "--clang"):
        listed = subprocess.run([source / "tools" / "setup", word, "--list"], env={**os.environ, "BASH_FUNC_apt-cache%%": "() { return 127; }"},
                                capture_output=True, text=True)
        yield f"tools/setup {word} --list without apt", listed.returncode == 0 and "clang" in listed.stdout.split()
    if shutil.which("git") is None:
        print("tools/release is not looked at: there is no git")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        repository(source, folder)
        for out in ("out/release", "released/", "released//", f"{folder}/released/"):
            for again in ("", ", again"):
                ran = release(folder, out)
                files = {path.name for path in (folder / out).glob("*")}
                whole = ran.returncode == 0 and "SHA256SUMS" in files and len(files) == 3
                yield f"tools/release --out {out.replace(name, '.')}{again}: three files", whole
                if not whole:
                    print(ran.stdout, ran.stderr, sorted(files))
        left = [path.name for path in folder.rglob("*.new.*")]
        yield "nothing else is left", not left


def main():
    wrong = 0
    for what, holds in facts(pathlib.Path(sys.argv[1]).resolve()):
        wrong += not holds
        print(f"{'ok' if holds else 'WRONG':5}  {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
