"""Shared by the structure scripts: files of the tree, violations, and the proof that a check can fail."""
import argparse
import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile

# Never part of the project, wherever it was built.
SKIPPED = {".git", "build", "out", "install", "__pycache__", ".cache", ".vscode"}


@dataclasses.dataclass
class Violation:
    file: str
    line: int
    text: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


def source_files(root, suffixes=None):
    """The files of the tree, sorted; only those with one of the suffixes if any are named."""
    paths = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]  # not walked at all: a build has tens of thousands of files
        paths += [pathlib.Path(folder, name) for name in names if suffixes is None or pathlib.Path(name).suffix in suffixes]
    yield from sorted(path for path in paths if path.is_file())


def copy_tree(root, to):
    for path in source_files(root):
        target = to / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def self_test(check, root, planted):
    """Each planted change {file: text, or None to delete, or a function of the old text} must add a violation."""
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        copy = pathlib.Path(name)
        copy_tree(root, copy)
        before = len(list(check(copy)))
        for what, changes in planted:
            old = {copy / file: (copy / file).read_bytes() if (copy / file).is_file() else None for file in changes}
            plant(copy, changes)
            seen = len(list(check(copy))) > before
            missed += not seen
            print(f"{'seen  ' if seen else 'MISSED'} {what}")
            for path, content in old.items():
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(content)
    print(f"{len(planted) - missed} of {len(planted)} planted violations were seen")
    return missed == 0 and len(planted) > 0


def plant(root, changes):
    for file, text in changes.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink(missing_ok=True)
        elif callable(text):
            path.write_text(text(path.read_text()))
        else:
            path.write_text(text)


def run_script(check, planted):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    root = arguments.source.resolve()
    if arguments.self_test:
        sys.exit(0 if self_test(check, root, planted) else 1)
    violations = list(check(root))
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations")
    sys.exit(1 if violations else 0)
