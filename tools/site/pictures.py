#!/usr/bin/env python3
"""The pictures of the site, drawn by runs of the program.

    pictures.py --program build/dev/tools/softstep --work DIR --out DIR [--python PYTHON --prefix DIR PAGE...]

RUNS are pictures for several pages. A figure `pictures/NAME/FILE` on the page docs/NAME.md is the file FILE of the folder that the
page's own commands leave (tools/site/snippets.py): such a page shows what its reader gets. A run is made again when its command, its
page or the program has changed.
"""
import argparse
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import snippets  # noqa: E402

# Folder of the run, command, and what its pictures are called on the pages.
RUNS = (
    ("compare", ("compare", "--generator", "signal_noise", "--samples", "10", "--tokens", "6", "--dim", "60", "--rules",
                 "gd:step-size=20;ngd:step-size=1;polyak", "--steps", "10000", "--seeds", "10"),
     {"one_minus_cos.svg": "one-minus-cos.svg", "weight_norm.svg": "weight-norm.svg", "loss_gap.svg": "loss-gap.svg"}),
    ("precision", ("reproduce", "precision"),
     {"precision/one_minus_cos_ngd.svg": "precision-ngd.svg", "precision/gradient_error_ngd.svg": "gradient-error-ngd.svg"}),
)
FIGURE = re.compile(r"^```\{figure\} pictures/([\w-]+)/(\S+)$", re.MULTILINE)


def made_before(folder, key):
    made = folder / "made"
    return made.exists() and made.read_text() == key


def draw(folder, program, command):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = subprocess.run([program, *command, "--out", folder], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if log.returncode != 0:
        sys.exit(f"pictures: softstep {' '.join(command)} ended with {log.returncode}\n{log.stdout}")


def run_page(folder, page, text, arguments):
    shutil.rmtree(folder, ignore_errors=True)
    faults = snippets.check_page(page.as_posix(), text, arguments, folder)[1]
    if faults:
        sys.exit("\n".join(faults))


def take(folder, file, target):
    if not (folder / file).is_file():
        sys.exit(f"pictures: no {file} was drawn")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / file, target)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--python")
    parser.add_argument("--prefix", type=pathlib.Path)
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.source = pathlib.Path(__file__).resolve().parent.parent.parent
    arguments.build = arguments.program.resolve().parent.parent
    if arguments.prefix:
        arguments.prefix = arguments.prefix.resolve()
    program = hashlib.sha256(arguments.program.read_bytes()).hexdigest()
    for name, command, pictures in RUNS:
        folder, key = arguments.work / name, "\n".join((program, *command))
        if not made_before(folder, key):
            draw(folder, arguments.program, command)
            (folder / "made").write_text(key)
        for file, target in pictures.items():
            take(folder, file, arguments.out / target)
    for page in arguments.pages:
        text = page.read_text()
        files = [file for stem, file in FIGURE.findall(text) if stem == page.stem]
        folder, key = arguments.work / page.stem, "\n".join((program, text))
        if files and not made_before(folder, key):
            run_page(folder.resolve(), page, text, arguments)
            (folder / "made").write_text(key)
        for file in files:
            take(folder / "page", file, arguments.out / page.stem / file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
