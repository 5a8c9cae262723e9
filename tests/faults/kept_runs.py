#!/usr/bin/env python3
"""What `compare`, `sweep`, `fit` and `reproduce` make of --keep: runs that are there are not made again and give the same results to
the bit; those of other data or options, and damaged ones, are not taken.

    kept_runs.py --program SOFTSTEP
    kept_runs.py --program SOFTSTEP --self-test

--self-test changes a number in each kept run, with a checksum that fits, and requires that the results are seen to differ.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from kill_runs import DATA, files_below, without_times  # noqa: E402

RULES = ["--rules", "gd;ngd"]
GENERATED = ["--generator", "signal_noise", "--samples", "6", "--tokens", "4", "--dim", "8"]
# The command without its seeds, and an option that changes its results. Each has two runs a seed; those of `reproduce` are entries,
# the first of this list as many as there have to be.
ENTRIES = ["ntp", "path", "global", "rank", "variational", "in_context"]
COMMANDS = {
    "compare": (["compare", *GENERATED, *RULES, "--no-plots", "--out", "out", "--steps", "200"], ["--precision", "f32"]),
    "sweep": (["sweep", "--data", "data", "--init", "normal:0.1", "--rules", "ngd:step-size=1;polyak", "--out", "out", "--steps",
               "200"], ["--loss", "exponential"]),
    "fit": (["fit", "--train", "data", "--test", "data", "--rules", "sgd:step-size=1;adam", "--batch-size", "4", "--epochs", "5",
             "--no-plots", "--out", "out"], ["--loss", "exponential"]),
    "reproduce": (["reproduce", "--no-plots", "--out", "out"], ["--broken"]),
}
LONG = ["compare", *GENERATED, *RULES, "--no-plots", "--out", "out", "--steps", "300000", "--threads", "1", "--keep", "kept"]


class Fault(Exception):
    pass


def require(good, what):
    if not good:
        raise Fault(what)


def of_runs(command, n_runs):
    return [*command, *ENTRIES[:n_runs]] if command[0] == "reproduce" else [*command, "--seeds", str(n_runs // 2)]


class Bench:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.run(DATA)

    def run(self, command, code=0):
        """The lines on the standard error."""
        ran = subprocess.run([self.program, *command], cwd=self.folder, capture_output=True, text=True)
        require(ran.returncode == code, f"{' '.join(command)}: exit code {ran.returncode} and not {code}: {ran.stderr}")
        return ran.stderr.splitlines()

    def results(self, command, said=(), or_said=None):
        """What the command leaves, without times; it says a line that holds each of `said`, and no other (or each of `or_said`)."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        lines = self.run(command)
        require(any(texts is not None and len(lines) == len(texts) and all(text in line for text, line in zip(texts, lines))
                    for texts in (said, or_said)), f"said {lines}, not {said}")
        self.n_damaged = sum("is damaged" in line for line in lines)
        return {name: without_times(name, text) for name, text in files_below(self.folder / "out").items()}

    def kept(self):
        return sorted(self.folder.glob("kept/run-*.json"))

    def clear(self):
        for path in self.folder.glob("kept/*"):
            path.unlink()
        shutil.rmtree(self.folder / "out", ignore_errors=True)  # one command's is no other's


def checksum(text):
    """FNV-1a, as tools/kept_runs.cpp has it."""
    total = 0xCBF29CE484222325
    for byte in text.encode():
        total = (total ^ byte) * 0x100000001B3 % 2**64
    return f"{total:016x}"


def takes_runs_over(bench, command, other):
    plain, keep = of_runs(command, 4), ["--keep", "kept"]
    expected = bench.results(plain)
    require(bench.results([*plain, *keep]) == expected, "the results differ where runs are kept")
    require(len(bench.kept()) == 4, f"{len(bench.kept())} files and not 4")
    times = [path.stat().st_mtime_ns for path in bench.kept()]
    require(bench.results([*plain, *keep], ["4 of 4 runs are taken from kept"]) == expected, "runs taken over differ")
    require(times == [path.stat().st_mtime_ns for path in bench.kept()], "runs that were there are made again")
    for path in bench.kept()[::2]:
        path.unlink()
    require(bench.results([*plain, *keep], ["2 of 4 runs are taken from kept"]) == expected, "half of the runs taken over differ")
    # More seeds, more runs; and of what was changed nothing is taken.
    more = of_runs(command, 6)
    require(bench.results([*more, *keep], ["4 of 6 runs"]) == bench.results(more), "more runs give other results")
    changed = [*of_runs(command, 2), *other]
    expected = bench.results(changed)
    require(bench.results([*changed, *keep], ["kept has 6 runs of other data, options or versions"]) == expected,
            f"runs without {other} are taken for runs with it")
    bench.clear()


def passes_damage_over(bench, command, _):
    keep = [*of_runs(command, 2), "--keep", "kept"]
    expected = bench.results(keep)
    first, second = bench.kept()
    text = first.read_bytes()
    said = [f"{first.relative_to(bench.folder)}: is damaged; its run is made again", "1 of 2 runs are taken"]
    places, n_flips_seen = range(0, len(text) - 1, max(1, len(text) // 12)), 0  # the last byte is a line break
    for at in places:
        first.write_bytes(text[:at])
        require(bench.results(keep, said) == expected, f"a file cut off at {at} changes the results")
        require(first.stat().st_size > len(text) // 2, "the damaged file is not replaced")
        # A flipped last digit can stand for the same number: then nothing is damaged.
        first.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1:])
        require(bench.results(keep, said, ["2 of 2 runs"]) == expected, f"damage at {at} changes the results")
        n_flips_seen += bench.n_damaged
    require(n_flips_seen >= len(places) - 3, f"{n_flips_seen} of {len(places)} flipped bits were seen")
    # The file of another run under this one's name.
    first.write_bytes(second.read_bytes())
    require(bench.results(keep, ["is damaged", "1 of 2"]) == expected, "a run is taken for another")
    # What cannot be read is not called damaged. Nor can it be replaced here.
    first.unlink()
    first.mkdir()
    lines = bench.run(keep, code=2)
    first.rmdir()
    require(lines[0].endswith("cannot be read (Is a directory); its run is made again"), f"said {lines}")
    bench.clear()


def refuses_what_is_no_folder(bench, command, _):
    for folder in ("data", "no/such"):
        lines = bench.run([*of_runs(command, 2), "--keep", folder], code=2)
        require(len(lines) == 1 and "--keep" in lines[0] and folder in lines[0], f"said {lines}")


def tells_data_apart(bench):
    """The files of real_data under the same names with other numbers. Broken systems fail on any data, so the exit code is 0."""
    command = ["reproduce", "real_data", "--broken", "--no-plots", "--data", "real", "--out", "out"]
    (bench.folder / "real").mkdir()
    for seed in (1, 2):
        bench.run([*DATA[:-1], "real/test.safetensors", "--seed", "3"])
        bench.run([*DATA[:-1], "real/train.safetensors", "--seed", str(seed)])
        said = ["kept has 1 runs of other data, options or versions"] if seed == 2 else []
        require(bench.results([*command, "--keep", "kept"], said) == bench.results(command), "the results of other data")
        require(len(bench.kept()) == seed, f"{len(bench.kept())} files and not {seed}")
    bench.clear()


def stops_in_order(bench):
    command = [*LONG, "--seeds", "32"]
    for number in (signal.SIGINT, signal.SIGTERM):
        child = subprocess.Popen([bench.program, *command], cwd=bench.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, limit = len(bench.kept()), time.monotonic() + 300
        while len(bench.kept()) == before and child.poll() is None and time.monotonic() < limit:
            time.sleep(0.002)
        child.send_signal(number)
        require(child.wait() == 128 + number, f"exit code {child.returncode} and not {128 + number}")
    n_kept = len(bench.kept())
    require(n_kept < 64, "no run was left to be made")
    found = bench.results(command, [f"{n_kept} of 64 runs"])
    bench.clear()
    expected = bench.results(command)
    require(found == expected, "an interrupted command goes on with other results")
    bench.clear()


def tells_kept_runs_when_stopped(bench):
    """Runs of the first rule are stopped, most before they began, and those of the second are there already: all of these are told."""
    n_seeds = 64
    at = LONG.index("300000")
    command = [*LONG[:at], "100000", *LONG[at + 1:], "--seeds", str(n_seeds)]
    bench.run(command)
    for path in bench.kept():
        if '"rule":"gd"' in path.read_text():
            path.unlink()
    require(len(bench.kept()) == n_seeds, f"{len(bench.kept())} runs of ngd and not {n_seeds}")
    shutil.rmtree(bench.folder / "out")
    child = subprocess.Popen([bench.program, *command], cwd=bench.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    child.stderr.readline()  # so many runs are taken from the folder
    child.send_signal(signal.SIGTERM)
    said = child.communicate()[1]
    require(child.returncode == 128 + signal.SIGTERM, f"exit code {child.returncode}: {said}")
    summary = json.loads((bench.folder / "out" / "summary.json").read_text())
    n_of_gd, n_of_ngd = (len(rule["runs"]) for rule in summary["rules"])
    require(f"{n_of_gd + n_seeds} of {2 * n_seeds} runs were finished and are in out" in said, f"said {said}")
    require(n_of_ngd == n_seeds, f"{n_of_ngd} of {n_seeds} runs that are there are in summary.json")
    require([r["seed"] for r in summary["references"]] == list(range(n_seeds)), "a seed has no reference")
    bench.clear()


def self_test(bench):
    """Kept runs with another number must be seen."""
    wrong = 0
    for name, (command, _) in COMMANDS.items():
        keep = [*of_runs(command, 2), "--keep", "kept"]
        expected = bench.results(keep)
        for path in bench.kept():
            before, run = re.fullmatch(r'(.*"checksum":)"\w+","run":(.*)}\n', path.read_text()).groups()
            if name == "fit":
                run = re.sub(r"(.*\[\d+),[^,]+", r"\1,0.125", run)  # of the last epoch
            elif name == "reproduce":
                run = re.sub(r'"y":\[[^,\]]+', '"y":[0.125', run, count=1)  # of a figure
            else:
                run = re.sub(r'"margin":[^,]+', '"margin":0.125', run, count=1)
            path.write_text(f'{before}"{checksum(run)}","run":{run}}}\n')
        found = bench.results(keep, ["2 of 2 runs"])
        wrong += found == expected
        print(f"{'MISSED' if found == expected else 'seen  '} {name} with other numbers in its kept runs")
        bench.clear()
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    n_faults = 0
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(str(arguments.program.resolve()), pathlib.Path(name))
        if arguments.self_test:
            sys.exit(0 if self_test(bench) else 1)
        os.mkdir(bench.folder / "kept")
        tests = [(check, what, lambda check=check, row=row: check(bench, *row)) for what, row in COMMANDS.items()
                 for check in (takes_runs_over, passes_damage_over, refuses_what_is_no_folder)]
        for check, what, call in [*tests, (tells_data_apart, "reproduce", lambda: tells_data_apart(bench)),
                                  (stops_in_order, "compare", lambda: stops_in_order(bench)),
                                  (tells_kept_runs_when_stopped, "compare", lambda: tells_kept_runs_when_stopped(bench))]:
            try:
                call()
                print(f"good   {what} {check.__name__}", flush=True)
            except Fault as fault:
                n_faults += 1
                bench.clear()
                print(f"WRONG  {what} {check.__name__}: {fault}", flush=True)
    sys.exit(1 if n_faults else 0)


if __name__ == "__main__":
    main()
