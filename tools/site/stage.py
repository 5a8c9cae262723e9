#!/usr/bin/env python3
"""Copies what the site is made of to a folder of its own, laid out as in the project.

    stage.py SOURCE TARGET

Pages of the API and pictures are put beside these copies by others; the sources stay as they are.
"""
import pathlib
import shutil
import sys

PAGES = ("docs/**/*.md", "docs/_static/*", "CONTRIBUTING.md", "CHANGELOG.md", "README.md", "benchmarks/README.md",
         "benchmarks/RESULTS.md", "benchmarks/peers/README.md")
MADE = ("docs/api/", "docs/python/")  # by api.py and python_api.py
NOT = ("docs/installed",)  # links from where it is installed


def staged(root):
    for pattern in PAGES:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if path.is_file() and not name.startswith(NOT):
                yield name


def main():
    root, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    names = set(staged(root))
    for name in sorted(names):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.read_bytes() != (root / name).read_bytes():  # what has not changed is not read again
            shutil.copy(root / name, copy)
    for path in sorted(target.rglob("*.md")):  # a page that is gone from the sources
        name = path.relative_to(target).as_posix()
        if name not in names and not name.startswith(MADE):
            path.unlink()


if __name__ == "__main__":
    main()
