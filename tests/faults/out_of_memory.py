#!/usr/bin/env python3
"""Runs of the program in which one allocation fails, each in turn: one line says so, exit code 2, and no file is torn or left behind.
Or the run does without that memory, as some of its parts can, and has the results that it would have had.

usage: out_of_memory.py --program PROGRAM --library LIBRARY [--most N] [--self-test]

--most N: at so many of the allocations of each command, evenly spread (default: all). The last line counts tries and losses. With
--self-test files that are torn, missing and left behind, another exit code and another message must be losses."""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

COMMANDS = (
    ("generate", ["--samples", "3", "--tokens", "2", "--dim", "4", "--out", "new"], ["new"]),
    ("train", ["--data", "data", "--steps", "3", "--trace", "rows", "--out", "new", "--json", "J", "--checkpoint", "saved"],
     ["new", "J", "rows"]),
    ("solve", ["--data", "data", "--out", "new", "--json", "J"], ["new", "J"]),
    ("compare", ["--data", "data", "--rules", "gd;adam", "--steps", "3", "--out", "folder", "--no-plots"], []),
)


def run(options, folder, arguments, **environment):
    return subprocess.run([options.program, *arguments], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=60,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "LD_PRELOAD": options.library, **environment})


def clear(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.name != "data":
            path.unlink()


def comparable(data):
    """Without the time that a run took."""
    size = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and size < len(data):  # safetensors: the header is filled up with spaces
        data = data[8:8 + size].rstrip() + data[8 + size:]
    return re.sub(rb'"(\w*seconds\w*|steps_per_second)": ?"?[-0-9.e+]+|"checksum":"[0-9a-f]+|,[-0-9.e+]+\n', b"", data)


def judge(ran, folder, whole):
    """What is wrong; empty: nothing."""
    if ran.returncode not in (0, 2):
        return f"exit code {ran.returncode}"
    lines = ran.stderr.splitlines()
    if ran.returncode == 0:
        missing = [name for name in whole if not (folder / name).exists()]
        if missing or lines:
            return f"exit code 0 without {missing}: {ran.stderr!r}"
    elif not lines or any(not line.startswith("softstep: ") for line in lines) or not any("memory" in line for line in lines):
        return f"said {ran.stderr!r}"
    if len(lines) > 1 + sum("note: " in line for line in lines):
        return f"{len(lines)} lines: {ran.stderr!r}"
    for path in folder.rglob("*"):
        if path.is_dir() or path.name == "data":
            continue
        name = str(path.relative_to(folder))
        if name not in whole:
            return f"left {name} behind"
        found = comparable(path.read_bytes())
        if found != whole[name] and not (name == "rows" and whole[name].startswith(found)):
            return f"{name} is torn"
    return ""


def self_test(good, folder, whole):
    def said(code, text):
        return subprocess.CompletedProcess([], code, "", text)
    memory = "softstep: out of memory: the data do not fit\n"
    name = min(whole)
    assert judge(good, folder, whole) == "" and judge(said(2, memory), folder, whole) == ""
    assert judge(said(-6, "terminate called"), folder, whole) and judge(said(2, ""), folder, whole)
    assert judge(said(2, memory + memory), folder, whole) and judge(said(2, "softstep: bad\n"), folder, whole)
    (folder / name).write_bytes(b"half")
    assert "torn" in judge(said(2, memory), folder, whole)
    (folder / name).unlink()
    assert "without" in judge(good, folder, whole)
    (folder / "left").write_bytes(b"")
    assert "behind" in judge(said(2, memory), folder, whole)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--library", required=True, type=os.path.abspath)
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    tries = losses = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([options.program, "generate", "--samples", "3", "--tokens", "2", "--dim", "4", "--out", "data"],
                       cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for command, arguments, files in COMMANDS:
            clear(folder)
            count = folder / "count"
            good = run(options, folder, [command, *arguments], SOFTSTEP_COUNT_NEW=str(count))
            assert good.returncode == 0, good.stderr
            n = int(count.read_text())
            count.unlink()
            whole = {str(path.relative_to(folder)): comparable(path.read_bytes()) for path in folder.rglob("*")
                     if path.is_file() and path.name != "data"}
            assert set(files) <= set(whole), whole.keys()
            if options.self_test:
                self_test(good, folder, whole)
                continue
            for at in range(1, n + 1, max(1, n // options.most)):
                clear(folder)
                wrong = judge(run(options, folder, [command, *arguments], SOFTSTEP_FAIL_NEW_AT=str(at)), folder, whole)
                tries += 1
                if wrong:
                    losses += 1
                    print(f"{command}: allocation {at} of {n}: {wrong}")
    print(f"out of memory: {tries} tries, {losses} losses" if not options.self_test else "planted losses were seen")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
