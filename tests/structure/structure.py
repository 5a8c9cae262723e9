"""Shared by the structure scripts: files of the tree, violations, and the proof that a check can fail."""
import argparse
import dataclasses
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
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if SKIPPED.isdisjoint(parts) and path.is_file() and (suffixes is None or path.suffix in suffixes):
            yield path


def copy_tree(root, to):
    for path in source_files(root):
        target = to / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def self_test(check, root, planted):
    """Each planted change {file: text, or None to delete, or a function of the old text} must add a violation."""
    missed = 0
    for what, changes in planted:
        with tempfile.TemporaryDirectory() as name:
            copy = pathlib.Path(name)
            copy_tree(root, copy)
            before = len(list(check(copy)))
            for file, text in changes.items():
                path = copy / file
                path.parent.mkdir(parents=True, exist_ok=True)
                if text is None:
                    path.unlink(missing_ok=True)
                elif callable(text):
                    path.write_text(text(path.read_text()))
                else:
                    path.write_text(text)
            seen = len(list(check(copy))) > before
        missed += not seen
        print(f"{'seen  ' if seen else 'MISSED'} {what}")
    print(f"{len(planted) - missed} of {len(planted)} planted violations were seen")
    return missed == 0 and len(planted) > 0


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
