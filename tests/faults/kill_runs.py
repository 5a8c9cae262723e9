#!/usr/bin/env python3
"""Kills the program with SIGKILL at random moments, runs the same command again to its end, and compares all that is there with what
a command leaves that was never stopped: to the bit, but for the columns and fields of time.

    kill_runs.py --program SOFTSTEP [--tries 200] [--seed 1] [--only WORD]
    kill_runs.py --program SOFTSTEP --failing-calls LIBRARY --self-test

A try is one kill that came in time; a loss is a file that is torn, a checkpoint or kept run that the program passes over, a result that
differs, or a second run that fails. Each prints a line. The last line counts both, and the exit code is 1 if there was a loss.
--self-test tears every file as it is put in its place (failing_calls.c, rename fails with tear) and requires that this is seen.
"""
import argparse
import csv
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

DATA = ["generate", "--samples", "6", "--tokens", "4", "--dim", "8", "--out", "data"]
KEPT = ["--no-plots", "--out", "out", "--keep", "saved"]


def train(*kind):
    return ["train", "--data", "data", "--reference", "none", "--steps", "100000", "--out", "W", "--trace", "rows.csv",
            "--checkpoint", "saved", "--resume", "saved", "--checkpoint-every", "2000", *kind]


# What makes a state: no memory, memory, float32 with remainders, float64 masters, several blocks, mini-batches, a span form. Then
# the commands that keep finished runs.
COMMANDS = {
    "train, float32 in a span form": train("--rule", "ngd", "--precision", "f32", "--form", "query-span"),
    "train, Adam with masters": train("--rule", "adam", "--precision", "f32", "--master", "float64"),
    "train, joint momentum": train("--rule", "momentum", "--joint"),
    "train, mini-batches": train("--rule", "ngd", "--batch-size", "4", "--seed", "3"),
    "compare": ["compare", "--generator", "signal_noise", "--samples", "6", "--tokens", "4", "--dim", "8", "--steps", "20000",
                "--rules", "gd;ngd;momentum;adam", "--seeds", "4", *KEPT],
    "sweep": ["sweep", "--data", "data", "--init", "normal:0.1", "--rules", "gd;ngd", "--steps", "10000", "--seeds", "4",
              "--out", "out", "--keep", "saved"],
    "fit": ["fit", "--train", "data", "--test", "data", "--batch-size", "4", "--epochs", "2000", "--seeds", "4", *KEPT],
    "reproduce": ["reproduce", "ntp", "path", "global", "rank", "variational", *KEPT],
}
# Columns, fields of JSON and heads of tables that the clock fills in.
TIMED = {"seconds", "setup_seconds", "steps_per_second", "seconds_to"}


def without_times(name, text):
    """The file without what the clock says."""
    if name.endswith(".csv"):
        rows = list(csv.reader(io.StringIO(text.decode())))
        left = [k for k, column in enumerate(rows[0]) if column not in TIMED]
        return [[row[k] for k in left] for row in rows]
    return untimed(json.loads(text)) if name.endswith(".json") else text


def untimed(value):
    if isinstance(value, list):
        return [untimed(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: untimed(item) for key, item in value.items() if key not in TIMED}
    if {"columns", "rows"} <= value.keys():  # a table
        left = [k for k, column in enumerate(value["columns"]) if column not in TIMED]
        value["rows"] = [[row[k] for k in left] for row in value["rows"]]
    return value


def files_below(folder):
    """{name: bytes} of what a command has left, without the folder that it goes on from."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not {"saved"} & set(path.relative_to(folder).parts)}


def is_whole(name, text):
    """Whether a file that was there after the kill has been written to its end."""
    if name.endswith(".csv"):
        return text.endswith(b"\n") and len({len(row) for row in csv.reader(io.StringIO(text.decode(errors="replace")))}) == 1
    if name.endswith(".json"):
        try:
            return bool(json.loads(text))
        except ValueError:
            return False
    # safetensors: the size of the header, the header, as many bytes as it says
    size = int.from_bytes(text[:8], "little")
    try:
        header = json.loads(text[8:8 + size])
    except ValueError:
        return False
    ends = [tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__"]
    return len(text) == 8 + size + max(ends, default=0)


class Bench:
    """Commands run in a folder of its own, and how long each takes undisturbed."""

    def __init__(self, arguments, folder):
        self.program, self.folder, self.environment = str(arguments.program), folder, dict(os.environ)
        subprocess.run([self.program, *DATA], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        self.data = (folder / "data").read_bytes()
        self.undisturbed = {}
        for what, command in COMMANDS.items():
            self.clear()
            began = time.monotonic()
            subprocess.run([self.program, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            self.undisturbed[what] = (time.monotonic() - began, files_below(folder))

    def clear(self):
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            elif path.name != "data":
                path.unlink()

    def kill_once(self, what, share):
        """Kills at that share of the undisturbed time. None where the command was done before; else what was lost, a line each."""
        self.clear()
        command, (seconds, expected) = [self.program, *COMMANDS[what]], self.undisturbed[what]
        child = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        try:
            child.wait(timeout=seconds * share)
            return None
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        if child.wait() != -signal.SIGKILL:
            return None
        # What lies beside its place under another name is nobody's, and goes with the next command.
        names = [*expected, "data", *(path.relative_to(self.folder).as_posix() for path in self.folder.glob("saved/*")
                                      if path.name.startswith(("step-", "run-")))]
        lost = [f"{name} is torn" for name in names
                if (self.folder / name).exists() and not is_whole(name, (self.folder / name).read_bytes())]
        again = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        # Only that runs were taken over may be said.
        said = [line for line in again.stderr.splitlines() if not re.search(r": note: \d+ of \d+ runs are taken from saved$", line)]
        if again.returncode != 0 or said:
            lost.append(f"the second run ended with {again.returncode}: {again.stderr.strip()}")
            return lost
        found = files_below(self.folder)
        if sorted(found) != sorted(expected):
            lost.append(f"left {sorted(found)} and not {sorted(expected)}")
        lost += [f"{name} differs" for name in expected
                 if name in found and without_times(name, found[name]) != without_times(name, expected[name])]
        return lost


def run(bench, n_tries, seed, only, most=20):
    """Tries over all commands in turn, kills at moments that are uniform over the run; returns how many lost something."""
    numbers, n_lost, n_early = random.Random(seed), 0, 0
    names = [what for what in COMMANDS if only in what]
    if not names:
        sys.exit(f"no command has {only} in its name: {', '.join(COMMANDS)}")
    tries = 0
    while tries < n_tries:
        what = names[tries % len(names)]
        lost = bench.kill_once(what, numbers.uniform(0.0, 1.0))
        if lost is None:  # done before the kill came: no try
            n_early += 1
            if n_early > most * n_tries:
                sys.exit(f"{n_early} kills came too late")
            continue
        tries += 1
        n_lost += bool(lost)
        for line in lost:
            print(f"{what}, try {tries}: {line}", flush=True)
    print(f"{tries} kills of {len(names)} commands, {n_lost} with a loss")
    return n_lost


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--failing-calls", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    arguments.program = arguments.program.resolve()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(arguments, pathlib.Path(name))
        if not arguments.self_test:
            sys.exit(1 if run(bench, arguments.tries, arguments.seed, arguments.only) else 0)
        bench.environment.update(LD_PRELOAD=str(arguments.failing_calls.resolve()), SOFTSTEP_FAIL_CALL="rename",
                                 SOFTSTEP_FAIL_AT="1", SOFTSTEP_FAIL_WITH="tear")
        for tries in (1, 2, 4, 8):
            if run(bench, tries, arguments.seed, arguments.only):
                print("files that are torn are seen")
                return
        sys.exit("no file was torn, or it was not seen")


if __name__ == "__main__":
    main()
