#!/usr/bin/env python3
"""The pictures of the site, drawn by runs of the program.

    pictures.py --program build/dev/tools/softstep --work DIR --out DIR

A run is made again when its command or the program has changed.
"""
import argparse
import hashlib
import pathlib
import shutil
import subprocess
import sys

# Folder of the run, command, and what its pictures are called on the pages.
RUNS = (
    ("compare", ("compare", "--generator", "signal_noise", "--samples", "10", "--tokens", "6", "--dim", "60", "--rules",
                 "gd:step-size=20;ngd:step-size=1;polyak", "--steps", "10000", "--seeds", "10"),
     {"one_minus_cos.svg": "one-minus-cos.svg", "weight_norm.svg": "weight-norm.svg", "loss_gap.svg": "loss-gap.svg"}),
    ("precision", ("reproduce", "precision"),
     {"precision/one_minus_cos_ngd.svg": "precision-ngd.svg", "precision/gradient_error_ngd.svg": "gradient-error-ngd.svg"}),
)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    program = hashlib.sha256(arguments.program.read_bytes()).hexdigest()
    for name, command, pictures in RUNS:
        folder = arguments.work / name
        made, key = folder / "made", "\n".join((program, *command))
        if not made.exists() or made.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            log = subprocess.run([arguments.program, *command, "--out", folder], text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
            if log.returncode != 0:
                sys.exit(f"pictures: softstep {' '.join(command)} ended with {log.returncode}\n{log.stdout}")
            made.write_text(key)
        for file, target in pictures.items():
            shutil.copy(folder / file, arguments.out / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
