#!/usr/bin/env python3
"""What benchmarks/peers/compare makes of its results: what was measured is not lost to a run that measures nothing or spoils a peer,
and an answer that is NaN agrees with nothing. No peer is run, and none need be installed.

    check_peers.py SOURCE
"""
import contextlib
import io
import itertools
import json
import math
import pathlib
import sys
import tempfile
import unittest.mock

MEASURED = {"machine": {"commit": "abc", "vectors": "AVX2"}, "threads": [1], "steps": [], "steps_command": "",
            "research": {"command": "softstep compare", "softstep_seconds": 0.02, "threads": 1, "script_seconds": 8.0, "script_seeds": 3,
                         "losses_apart": 1e-16, "norms_apart": 1e-9, "agrees": True}}
SUMMARY = {"rules": [{"runs": [{"loss": 0.5}] * 3}], "references": [{"norm": 2.0}] * 3}


def harness(source):
    """The package, without what only the measuring needs."""
    for name in ("numpy", "safetensors", "safetensors.numpy"):
        sys.modules[name] = unittest.mock.MagicMock()
    sys.path.insert(0, str(source / "benchmarks" / "peers"))
    from harness import main, report, research, results_file, steps
    return main, report, research, results_file, steps


def compare(main, *words):
    """Exit code and text."""
    sys.argv = ["compare", *words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            main.main()
    except SystemExit as end:
        return end.code, said.getvalue()
    return 0, said.getvalue()


def keeps_what_was_measured(parts, folder):
    main, _, _, results_file, steps = parts
    steps.OUT, results_file.FILE = folder, folder / "RESULTS.md"
    steps.run = lambda *_: [{"shape": "6,8,10", "type": "f32", "threads": 1, "versions": {}, "entries": []}]
    file = folder / "results.json"
    yield "nothing to report is an error", compare(main, "--parts")[0] != 0 and not file.exists()
    file.write_text(json.dumps(MEASURED))
    before = file.read_bytes()
    for words in (["--parts"], ["--merge", "--parts"]):
        code, text = compare(main, *words)
        yield f"{words}: results stay", code == 0 and file.read_bytes() == before
        yield f"{words}: they are reported", "published research set-up" in text
    yield "--spoil: results stay", compare(main, "--parts", "steps", "--spoil", "torch")[0] == 0 and file.read_bytes() == before
    yield "--spoil: no report", compare(main, "--parts", "steps", "--spoil", "torch", "--report")[0] == 2
    yield "--many --spoil: no report", compare(main, "--many", "--part", "--spoil", "torch", "--report")[0] == 2
    yield "no report was written", not results_file.FILE.exists()
    yield "a part is measured", compare(main, "--parts", "steps")[0] == 0 and "research" not in json.loads(file.read_text())
    file.write_bytes(before)
    yield "a part is merged", compare(main, "--merge", "--parts", "steps")[0] == 0 and "research" in json.loads(file.read_text())


def refuses_nan(parts):
    _, report, research, results_file, _ = parts
    research.softstep = lambda *_: (0.02, SUMMARY)
    for name, good in (("losses", 0.5), ("norms", 2.0)):
        for place in (None, 0, 1, 2):
            theirs = {"losses": [0.5] * 3, "norms": [2.0] * 3, "seconds": [0.1] * 3}
            if place is not None:
                theirs[name] = [math.nan if k == place else good for k in range(3)]
            research.script = lambda *_, theirs=theirs: theirs
            with contextlib.redirect_stderr(io.StringIO()):
                result = research.run(3, 1)
            yield f"{name}: NaN at {place}", result["agrees"] == (place is None)
            text = report.research_text(results_file.without_nan(result))
            yield f"{name}: NaN at {place} is reported", ("No figure" in text) == (place is not None)


def main():
    parts = harness(pathlib.Path(sys.argv[1]).resolve())
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "data").mkdir()
        for what, holds in itertools.chain(keeps_what_was_measured(parts, pathlib.Path(folder)), refuses_nan(parts)):
            wrong += not holds
            print(f"{'ok' if holds else 'WRONG':5}  {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
