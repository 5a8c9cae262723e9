#!/usr/bin/env python3
"""softstep train under mpirun: the same files for any number of ranks, runs that are killed, and bad input.

check_program.py --program softstep --launch "mpirun --oversubscribe" --folder DIR [--broken]

With --broken one byte of one file is changed before files are compared, and the check must fail.
"""
import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

failures = []


def check(holds, what):
    print(("ok    " if holds else "WRONG ") + what, flush=True)
    if not holds:
        failures.append(what)


class Program:
    def __init__(self, options):
        self.program, self.launch, self.folder = options.program, shlex.split(options.launch), options.folder

    def command(self, ranks, arguments):
        head = self.launch + ["-n", str(ranks)] if ranks else []
        return head + [self.program] + arguments

    def run(self, ranks, arguments, timeout=120):
        return subprocess.run(self.command(ranks, arguments), cwd=self.folder, capture_output=True, text=True,
                              timeout=timeout, check=False)


def lines_of_softstep(text):
    return [line for line in text.splitlines() if line.startswith("softstep: ") and "note:" not in line]


def contents(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def without_times(text):
    """A trace without the column of seconds."""
    rows = [row.split(",") for row in text.decode().splitlines()]
    at = rows[0].index("seconds")
    return [row[:at] + row[at + 1:] for row in rows]


def same_for_any_number(program, broken):
    cases = {
        "gd": ["--rule", "gd", "--step-size", "20"],
        "ngd": ["--rule", "ngd", "--step-size", "1"],
        "polyak f32": ["--rule", "polyak", "--precision", "f32"],
        "adam": ["--rule", "adam"],
        "joint": ["--rule", "ngd", "--joint", "--init", "normal:0.1"],
        "factored by the whole": ["--rule", "ngd", "--factored", "4", "--init", "normal:0.1", "--normalization",
                                  "joint"],
        "mini-batch": ["--rule", "polyak", "--batch-size", "7"],
    }
    for name, rule in cases.items():
        files = {}
        for ranks in (None, 1, 2, 3, 4):
            key = "alone" if ranks is None else str(ranks)
            base = ["train", "--data", "data.safetensors", "--steps", "30", "--reference", "none", "--threads",
                    "2" if ranks == 2 else "1", "--out", f"w{key}", "--save-state", f"s{key}", "--trace", f"t{key}"]
            dense = [] if {"--joint", "--factored", "--batch-size"} & set(rule) else ["--form", "dense"]
            done = program.run(ranks, base + rule + dense)
            check(done.returncode == 0, f"{name}, {key}: ends well {done.stderr.strip()[:300]}")
            if done.returncode != 0:
                return
            files[key] = (contents(program.folder, f"w{key}"), contents(program.folder, f"s{key}"),
                          without_times(contents(program.folder, f"t{key}")))
            if broken and key == "3":
                weights = bytearray(files[key][0])
                weights[-1] ^= 1
                files[key] = (bytes(weights),) + files[key][1:]
            if ranks:
                check(done.stdout.count("status") == 1, f"{name}, {key}: one report")
        for key, found in files.items():
            # A state holds the seconds of the run: its size is compared here, its numbers by a run that goes on.
            check(found[0] == files["alone"][0], f"{name}, {key}: weights of the program alone")
            check(found[2] == files["alone"][2], f"{name}, {key}: trace of the program alone")


def solves_for_any_number(program, broken):
    """solve, and train with the direction that it finds: the files and the numbers of the program alone."""
    solve = ["solve", "--data", "data.safetensors"]
    train = ["train", "--data", "data.safetensors", "--steps", "20", "--rule", "ngd", "--init", "normal:0.1"]
    with_json = lambda key: ["--out", f"w{key}", "--json", f"j{key}"]
    cases = {
        "solve": lambda key: solve + with_json(key),
        "solve for chosen tokens": lambda key: solve + ["--selected", "attend.safetensors"] + with_json(key),
        "solve, out of sweeps": lambda key: solve + ["--max-sweeps", "7"] + with_json(key),
        "train with a reference": lambda key: train + ["--form", "dense", "--trace", f"t{key}"] + with_json(key),
        "train jointly with references": lambda key: train + ["--joint", "--trace", f"t{key}"] + with_json(key),
        "train a prompt with a reference": lambda key: train + ["--prompt", "--trace", f"t{key}"] + with_json(key),
    }
    program.run(None, ["train", "--data", "data.safetensors", "--steps", "5", "--reference", "none", "--out",
                       "attend.safetensors"])
    for name, command in cases.items():
        files, codes = {}, {}
        for ranks in (None, 1, 2, 3, 4):
            key = "alone" if ranks is None else str(ranks)
            done = program.run(ranks, command(key))
            codes[key] = done.returncode
            report = json.loads(contents(program.folder, f"j{key}"))
            trace = without_times(contents(program.folder, f"t{key}")) if name.startswith("train") else None
            if broken and key == "3" and name == "solve":
                report["duality_gap"] *= 1 + 2 ** -52
            for what in ("seconds", "written", "ranks", "sum_order", "trace", "out", "steps_per_second", "certified_share"):
                report.pop(what, None)
            if isinstance(report.get("reference"), dict):
                report["reference"].pop("seconds", None)
            files[key] = (contents(program.folder, f"w{key}"), report, trace)
        for key, found in files.items():
            check(codes[key] == codes["alone"] and found[0] == files["alone"][0],
                  f"{name}, {key}: weights and exit code of the program alone ({codes[key]})")
            check(found[2] == files["alone"][2], f"{name}, {key}: trace of the program alone")
            if not name.startswith("train"):
                check(found[1] == files["alone"][1], f"{name}, {key}: the numbers of the program alone")
            elif "reference" in found[1]:
                check(found[1]["reference"] == files["alone"][1]["reference"],
                      f"{name}, {key}: the reference of the program alone")


def threads_where_one_is_bound(program):
    """--threads 0 where one rank is bound to a processor and the other is not: each has its threads, and none waits."""
    train = program.command(None, ["train", "--data", "data.safetensors", "--steps", "5", "--reference", "none",
                                   "--threads", "0"])
    bound = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    command = program.launch + ["-n", "1"] + bound + train + [":", "-n", "1"] + train
    # Open MPI would bind both.
    environment = dict(os.environ, OMPI_MCA_hwloc_base_binding_policy="none")
    with subprocess.Popen(command, cwd=program.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as job:
        try:
            _, error = job.communicate(timeout=60)
            check(job.returncode == 0, f"--threads 0, one rank bound: ends well {error.strip()[:200]}")
        except subprocess.TimeoutExpired:
            job.terminate()  # a launcher that is killed leaves the ranks
            check(False, "--threads 0, one rank bound: the job ends")


def goes_on_with_others(program):
    train = ["train", "--data", "data.safetensors", "--rule", "adam", "--precision", "f32", "--reference", "none"]
    program.run(3, train + ["--steps", "90", "--out", "whole"])
    program.run(3, train + ["--steps", "40", "--save-state", "half"])
    for ranks in (1, 2, 4):
        done = program.run(ranks, train + ["--steps", "50", "--resume", "half", "--out", "rest"])
        check(done.returncode == 0 and contents(program.folder, "rest") == contents(program.folder, "whole"),
              f"saved on 3 ranks, gone on with on {ranks}: the same bytes {done.stderr.strip()[:200]}")
    shutil.rmtree(os.path.join(program.folder, "points"), ignore_errors=True)
    points = ["--checkpoint", "points", "--checkpoint-every", "10"]
    program.run(2, train + points + ["--steps", "40"])
    done = program.run(4, train + points + ["--steps", "90", "--resume", "points", "--out", "rest"])
    check(done.returncode == 0 and contents(program.folder, "rest") == contents(program.folder, "whole"),
          f"checkpoints of 2 ranks, gone on with on 4: the same bytes {done.stderr.strip()[:200]}")


def children(pid):
    """The processes below one, by /proc."""
    below = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            below += [int(name)] + children(int(name))
    return below


def ranks_below(pid, program):
    found = []
    for child in children(pid):
        try:
            if os.path.samefile(os.readlink(f"/proc/{child}/exe"), program):
                found.append(child)
        except OSError:
            continue
    return found


def runs(pid):
    """Whether it does; one that has ended may still be listed where nobody asks how."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def killed(program, which, number, n_ranks):
    """One of three ranks is killed while checkpoints are written; then the run goes on."""
    shutil.rmtree(os.path.join(program.folder, "kept"), ignore_errors=True)
    train = ["train", "--data", "data.safetensors", "--rule", "ngd", "--reference", "none", "--checkpoint", "kept",
             "--checkpoint-every", "25"]
    end = ["--steps", "100000000"]
    with subprocess.Popen(program.command(n_ranks, train + end), cwd=program.folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as job:
        limit = time.monotonic() + 60
        kept = os.path.join(program.folder, "kept")
        while time.monotonic() < limit:
            if os.path.isdir(kept) and any(name.endswith(".safetensors") for name in os.listdir(kept)):
                break
            time.sleep(0.02)
        ranks = sorted(ranks_below(job.pid, program.program))
        check(len(ranks) == n_ranks, f"{which}: {n_ranks} ranks run ({len(ranks)})")
        os.kill(ranks[which] if number == signal.SIGKILL else job.pid, number)
        began = time.monotonic()
        try:
            _, error = job.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            for rank in ranks:
                os.kill(rank, signal.SIGKILL)
            job.kill()
            check(False, f"killed rank {which}: the job ends")
            return
        check(True, f"{signal.Signals(number).name}, rank {which}: the job ended after "
              f"{time.monotonic() - began:.1f} s with code {job.returncode}")
        check(job.returncode != 0 and error.strip() != "" or number != signal.SIGKILL,
              "it says so, and its exit code does")
        check(len(lines_of_softstep(error)) <= 1, "one line of softstep's at most")
        # The launcher has told them to end, and waits for none.
        limit = time.monotonic() + 20
        while any(map(runs, ranks)) and time.monotonic() < limit:
            time.sleep(0.05)
        left = [rank for rank in ranks if runs(rank)]
        check(not left, "no rank is left")
    newest = max(int("".join(c for c in name if c.isdigit())) for name in os.listdir(kept)
                 if name.endswith(".safetensors"))
    goal = ["--steps", str(newest + 30), "--out", "after"]
    done = program.run(2, train + ["--resume", "kept"] + goal)
    check(done.returncode == 0 and "passed over" not in done.stderr,
          f"the newest checkpoint, of step {newest}, is whole {done.stderr.strip()[:200]}")
    program.run(1, train[:train.index("--checkpoint")] + goal[:2] + ["--out", "straight"])
    check(contents(program.folder, "after") == contents(program.folder, "straight"),
          "and the run that goes on from it has the bytes of one that was never stopped")


def killed_while_solving(program):
    """One of three ranks is killed amid a solve: the job ends, and nothing was written."""
    program.run(None, ["generate", "--samples", "3000", "--tokens", "12", "--dim", "40", "--out", "long.safetensors"])
    command = program.command(3, ["solve", "--data", "long.safetensors", "--out", "unfinished"])
    with subprocess.Popen(command, cwd=program.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        ranks, limit = [], time.monotonic() + 60
        while len(ranks) < 3 and time.monotonic() < limit:
            time.sleep(0.05)
            ranks = sorted(ranks_below(job.pid, program.program))
        time.sleep(1.0)  # into the sweeps, of which there are many
        check(len(ranks) == 3 and all(map(runs, ranks)), f"the solver: 3 ranks run ({len(ranks)})")
        os.kill(ranks[1], signal.SIGKILL)
        try:
            _, error = job.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            for rank in ranks:
                os.kill(rank, signal.SIGKILL)
            job.kill()
            check(False, "the solver, a killed rank: the job ends")
            return
    check(job.returncode != 0 and error.strip() != "" and len(lines_of_softstep(error)) <= 1,
          f"the solver, a killed rank: the job ended with code {job.returncode} and says so")
    left = [name for name in os.listdir(program.folder) if name.startswith("unfinished")]
    check(not left, f"nothing is written {left}")


def sums_in_any_order(program):
    """--sum-order any: the report says so, and the run ends next to that of one process; with one rank on it."""
    command = ["train", "--data", "data.safetensors", "--rule", "ngd", "--steps", "20", "--form", "dense"]
    found = {}
    for n_ranks, order in ((None, "samples"), (1, "any"), (3, "any"), (3, "samples")):
        done = program.run(n_ranks, command + ["--sum-order", order, "--out", "W", "--json", "run.json"])
        check(done.returncode == 0, f"--sum-order {order} on {n_ranks} ranks {done.stderr.strip()[:200]}")
        said = json.loads(contents(program.folder, "run.json"))
        check(said.get("sum_order") == (order if n_ranks else None), f"its report: {said.get('sum_order')}")
        found[n_ranks, order] = (contents(program.folder, "W"), said["weight_norm"])
    check(found[1, "any"][0] == found[None, "samples"][0], "one rank has nothing to add up: the bits of one process")
    check(found[3, "samples"][0] == found[None, "samples"][0], "in the order of the samples: the bits of one process")
    check(found[3, "any"][0] != found[3, "samples"][0], "in any order: other bits")
    # 41 terms: 41 * 2^-53 = 4.6e-15 a step, 20 of them; a factor of 1000 is left for what later steps make of it.
    apart = abs(found[3, "any"][1] / found[3, "samples"][1] - 1)
    check(apart < 1e-10, f"and the same run, to {apart:.1e}")


def bad_input(program):
    base = ["train", "--rule", "ngd", "--steps", "5"]
    damaged = bytearray(contents(program.folder, "data.safetensors"))
    header = int.from_bytes(damaged[:8], "little")
    # A token of the last samples is not a number: only the last rank reads it.
    size = os.path.getsize(os.path.join(program.folder, "data.safetensors"))
    text = bytes(damaged[8:8 + header]).decode()

    begin, end = json.loads(text)["tokens"]["data_offsets"]
    at = 8 + header + end - 8
    damaged[at:at + 8] = b"\xff" * 8
    assert at + 8 <= size and begin < end
    with open(os.path.join(program.folder, "damaged.safetensors"), "wb") as file:
        file.write(damaged)
    with open(os.path.join(program.folder, "short.safetensors"), "wb") as file:
        head = json.dumps({"selected": {"dtype": "I64", "shape": [3], "data_offsets": [0, 24]}}).encode()
        head += b" " * (-len(head) % 8)
        file.write(len(head).to_bytes(8, "little") + head + bytes(24))
    cases = {
        "no such file": base + ["--data", "missing.safetensors"],
        "damaged where one rank reads": base + ["--data", "damaged.safetensors"],
        "a bad option": base + ["--data", "data.safetensors", "--threads", "many"],
        "a rule that is not known": ["train", "--data", "data.safetensors", "--rule", "nonsense"],
        "a trace that cannot be written": base + ["--data", "data.safetensors", "--trace", "missing/trace.csv"],
        "a form that does not go with ranks": base + ["--data", "data.safetensors", "--form", "query-span"],
        "a reference that is not there": base + ["--data", "data.safetensors", "--reference", "missing"],
        "the solver, no such file": ["solve", "--data", "missing.safetensors"],
        "the solver, damaged where one rank reads": ["solve", "--data", "damaged.safetensors"],
        "the solver in another norm": ["solve", "--data", "data.safetensors", "--norm", "nuclear"],
        "the solver, a selection of another size": ["solve", "--data", "data.safetensors", "--selected",
                                                    "short.safetensors"],
        "the solver, an output that cannot be written": ["solve", "--data", "data.safetensors", "--out",
                                                         "missing/W"],
        "an order of sums that is not known": base + ["--data", "data.safetensors", "--sum-order", "random"],
        "another model": base + ["--data", "data.safetensors", "--model", "logistic"],
        "a batch that is too large": base + ["--data", "data.safetensors", "--batch-size", "1000"],
        "another command": ["compare", "--data", "data.safetensors", "--out", "compared"],
    }
    for name, arguments in cases.items():
        done = program.run(3, arguments)
        lines = lines_of_softstep(done.stderr)
        check(done.returncode == 2 and len(lines) == 1,
              f"{name}: code {done.returncode}, {len(lines)} line(s): {' | '.join(lines)[:160]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--launch", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--broken", action="store_true")
    options = parser.parse_args()
    options.program = os.path.realpath(options.program)
    shutil.rmtree(options.folder, ignore_errors=True)
    os.makedirs(options.folder)
    program = Program(options)
    # Longer than a lane is filled with, so that the program alone takes the same sums (docs/mpi.md).
    program.run(None, ["generate", "--samples", "41", "--tokens", "20", "--dim", "100", "--out", "data.safetensors"])
    same_for_any_number(program, options.broken)
    solves_for_any_number(program, options.broken)
    if not options.broken:
        threads_where_one_is_bound(program)
        goes_on_with_others(program)
        sums_in_any_order(program)
        bad_input(program)
        killed_while_solving(program)
        for which in (0, 1, 2):
            killed(program, which, signal.SIGKILL, 3)
    print(f"{len(failures)} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
