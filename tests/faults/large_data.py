#!/usr/bin/env python3
"""Trains a data set that is larger than the memory it may have: generates it in shards, reads it once to know how fast the disk is,
trains within --memory and without a bound, and requires the same bits and a peak within the bound.

The peak is that of the resident set as the system counted it (ru_maxrss), pages of files included. With --cgroup the generator and the
bounded run also have no more memory than that from the system, its cache of their files included. Exit code 0: all holds."""

import argparse
import contextlib
import csv
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from memory_cgroup import MemoryCgroup

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def size_of(text):
    return int(float(text[:-1]) * UNITS[text[-1]]) if text[-1] in UNITS else int(text)


def run(arguments, group=None):
    """Seconds and peak in bytes of one command that must end well, in a cgroup if one is given."""
    began = time.monotonic()
    child = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.DEVNULL, preexec_fn=group.enter if group else None)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"large_data: exit code {child.returncode} of {' '.join(map(str, arguments))}")
    return time.monotonic() - began, usage.ru_maxrss * 1024


def forget(files):
    """The next reader finds nothing of them in the memory of the system."""
    for name in files:
        descriptor = os.open(name, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def disk_speed(files):
    forget(files)
    began, size = time.monotonic(), 0
    for name in files:
        with open(name, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while block := file.read(1 << 22):
                size += len(block)
    return size / (time.monotonic() - began)


def seconds_a_step(trace):
    """By the run's own clock, from the row of step 0, behind the first pass, to the last row."""
    with open(trace, newline="") as file:
        rows = list(csv.DictReader(file))
    return (float(rows[-1]["seconds"]) - float(rows[0]["seconds"])) / (int(rows[-1]["step"]) - int(rows[0]["step"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--size", default="8G")
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", help="where the data go for as long as this runs")
    parser.add_argument("--cgroup", action="store_true", help="run in a memory cgroup of that limit (needs the right to make one)")
    parser.add_argument("--self-test", action="store_true", help="require that a run without --memory is found out")
    options = parser.parse_args()
    size, memory = size_of(options.size), size_of(options.memory)
    tokens, dim = 256, 256
    samples = max(size // (tokens * dim * 8), options.shards)
    if options.folder:
        os.makedirs(options.folder, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder))
        group = stack.enter_context(MemoryCgroup(memory)) if options.cgroup else None
        if shutil.disk_usage(folder).free < size * 1.1:
            sys.exit(f"large_data: {folder} has no room for {options.size}")
        place = pathlib.Path(folder)
        took, generator_peak = run([options.program, "generate", "--samples", samples, "--tokens", tokens, "--dim", dim, "--shards",
                                    options.shards, "--out", place / "data.safetensors"], group)
        files = sorted(place.glob("data-*.safetensors"))
        size = sum(file.stat().st_size for file in files)
        print(f"generated {size / 1e9:.2f} GB in {len(files)} shards: {took:.1f} s, peak {generator_peak / 1e6:.0f} MB", flush=True)
        speed = disk_speed(files)
        train = [options.program, "train", "--data", place / "data.safetensors.index.json", "--rule", "ngd", "--reference", "none",
                 "--form", "dense", "--threads", options.threads]
        bound = [] if options.self_test else ["--memory", options.memory]

        def trained(steps, out, more, group):
            forget(files)
            return run([*train, "--steps", steps, "--out", place / out, *more], group)

        rows = place / "rows.csv"
        _, peak = trained(1 + options.steps, "W", [*bound, "--trace", rows, "--trace-rows-per-decade", 1000], group)
        step = seconds_a_step(rows)
        print(f"disk, one sequential read: {speed / 1e6:.0f} MB/s")
        print(f"train within {options.memory}: peak {peak / 1e6:.0f} MB, {step:.2f} s a step, {size / step / 1e6:.0f} MB/s", flush=True)
        if group:
            print(f"the cgroup of {options.memory}: peak {group.peak() / 1e6:.0f} MB, files that the system keeps included")
        trained(1 + options.steps, "V", [], None)
        same = (place / "W").read_bytes() == (place / "V").read_bytes()
    bad = [] if same else ["the bounded run has other bits"]
    if not peak <= memory:
        bad.append(f"a peak of {peak} bytes (need at most {memory})")
    if not generator_peak <= memory:
        bad.append(f"the generator has a peak of {generator_peak} bytes (need at most {memory})")
    for problem in bad:
        print("large_data:", problem)
    if options.self_test:
        sys.exit(0 if same and len(bad) == 1 else "large_data: a run without a bound was not found out")
    sys.exit(1 if bad else 0)


main()
