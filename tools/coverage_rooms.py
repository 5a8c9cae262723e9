#!/usr/bin/env python3
"""The lines that gcovr counted, by room: a table, and the lines of core/ and simd/ that were not run.

    coverage_rooms.py LINES.json [--table FILE] [--uncovered FILE] [--self-test]
"""
import argparse
import collections
import json
import pathlib
import sys


def room_of(file):
    """core/trainer/forms/pass.h is core/trainer/forms; simd/vec.h is simd."""
    folder = pathlib.PurePosixPath(file).parent
    return "core/include" if folder.parts[:2] == ("core", "include") else folder.as_posix()


def lines_of(report):
    """{file: {line: whether it was run}}; a line of several instances was run if one was."""
    out = collections.defaultdict(dict)
    for file in report["files"]:
        lines = out[file["file"]]
        for line in file["lines"]:
            if line.get("gcovr/noncode"):
                continue
            number = line["line_number"]
            lines[number] = lines.get(number, False) or line["count"] > 0
    return {file: lines for file, lines in out.items() if lines}


def table(lines):
    counts = collections.defaultdict(lambda: [0, 0])
    for file, of_file in lines.items():
        for room in (room_of(file), "all"):
            counts[room][0] += len(of_file)
            counts[room][1] += sum(of_file.values())
    yield "| room | lines | run | % |"
    yield "|---|---|---|---|"
    for room in sorted(counts, key=lambda room: (room == "all", room)):
        n, run = counts[room]
        yield f"| {'all' if room == 'all' else f'`{room}/`'} | {n} | {run} | {100.0 * run / n:.1f} |"


def ranges(numbers):
    """[1, 2, 3, 7] is 1-3, 7."""
    out = []
    for number in numbers:
        if out and number == out[-1][1] + 1:
            out[-1][1] = number
        else:
            out.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def uncovered(lines):
    for file in sorted(lines):
        missing = sorted(number for number, run in lines[file].items() if not run)
        if missing and file.startswith(("core/", "simd/")):
            yield f"{file}: {ranges(missing)}"


def self_test():
    count = lambda number, n: {"line_number": number, "count": n}  # noqa: E731
    report = {"files": [{"file": "core/a/x.h", "lines": [count(1, 0), count(1, 2), count(2, 0), count(3, 0), count(9, 0)]},
                        {"file": "core/include/softstep/y.h", "lines": [count(5, 1)]},
                        {"file": "tools/z.cpp", "lines": [count(4, 0), {**count(6, 0), "gcovr/noncode": True}]}]}
    lines = lines_of(report)
    assert list(uncovered(lines)) == ["core/a/x.h: 2-3, 9"], list(uncovered(lines))
    assert "| `core/a/` | 4 | 1 | 25.0 |" in table(lines) and "| all | 6 | 2 | 33.3 |" in table(lines), list(table(lines))


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("lines", type=pathlib.Path, nargs="?")
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("--uncovered", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.lines is None:
        parser.error("which file of gcovr?")
    lines = lines_of(json.loads(arguments.lines.read_text()))
    if not lines:
        sys.exit(f"coverage_rooms: error: {arguments.lines} has no lines")
    text = "\n".join(table(lines)) + "\n"
    print(text, end="")
    if arguments.table:
        arguments.table.write_text(text)
    missing = list(uncovered(lines))
    if arguments.uncovered:
        arguments.uncovered.write_text("".join(line + "\n" for line in missing))
    print(f"coverage: {len(missing)} files of core/ and simd/ have lines that were not run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
