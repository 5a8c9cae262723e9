#!/usr/bin/env python3
"""Long runs: normalised gradient descent for many steps on a small problem and a medium one, in float32 and float64. Memory must stay
flat, steps must not become slower, and both precisions must have gone to the same place.

Memory is what the process has allocated and touched (anonymous pages) and the whole resident set; after the first tenth of the run
neither may grow by more than a page of the trace's buffer and the noise of the system, 512 KiB. Exit code 0: all holds."""

import argparse
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time

FLAT = 512 * 1024
# A tenth of the run against the last: what other programs on the machine may cost.
SLOWER = 1.5


def memory_of(pid):
    """Anonymous and resident bytes, or None once the process is over."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = {name: int(kib) * 1024 for name, kib in re.findall(r"^(Anonymous|Rss): +(\d+) kB", text, re.M)}
    return (found["Anonymous"], found["Rss"]) if len(found) == 2 else None


def watched(command):
    """Runs a command that must end well; its memory, twice a second."""
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    samples = []
    while child.poll() is None:
        time.sleep(0.5)
        if now := memory_of(child.pid):
            samples.append(now)
    if child.returncode != 0:
        sys.exit(f"soak: exit code {child.returncode} of {' '.join(map(str, command))}")
    return samples, child.stdout.read()


def weights_of(path):
    """The tensor `weights` of a safetensors file, as floats."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    tensor = json.loads(data[8 : 8 + size])["weights"]
    begin, end = tensor["data_offsets"]
    kind, width = {"F32": ("f", 4), "F64": ("d", 8)}[tensor["dtype"]]
    return struct.unpack(f"<{(end - begin) // width}{kind}", data[8 + size + begin : 8 + size + end])


def one_minus_cos(a, b):
    """Without cancellation: half the squared distance of the unit vectors."""
    norm_a, norm_b = math.hypot(*a), math.hypot(*b)
    return 0.5 * math.fsum((x / norm_a - y / norm_b) ** 2 for x, y in zip(a, b, strict=True))


def rate(rows, begin, end):
    """Steps a second between the first and the last row of a part of the run."""
    part = [row for row in rows if begin * rows[-1][0] <= row[0] <= end * rows[-1][0]]
    return (part[-1][0] - part[0][0]) / max(part[-1][1] - part[0][1], 1e-9)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--small", type=float, default=1e8, help="steps of 6 samples of 8 tokens in 10 dimensions")
    parser.add_argument("--medium", type=float, default=1e6, help="steps of 100 samples of 20 tokens in 100 dimensions")
    arguments = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, steps, shape in (("small", arguments.small, (6, 8, 10)), ("medium", arguments.medium, (100, 20, 100))):
            data = folder / f"{name}.safetensors"
            words = [word for pair in zip(("--samples", "--tokens", "--dim"), shape, strict=True) for word in pair]
            subprocess.run(
                [arguments.program, "generate", "--generator", "random_unit", *map(str, words), "--out", data],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            weights = {}
            for precision in ("f32", "f64"):
                out, trace = folder / f"{name}_{precision}.safetensors", folder / f"{name}_{precision}.csv"
                command = [arguments.program, "train", "--data", data, "--rule", "ngd:step-size=0.01", "--precision", precision]
                command += ["--steps", int(steps), "--trace", trace, "--out", out]
                samples, _ = watched(command)
                weights[precision] = weights_of(out)
                settled = samples[len(samples) // 10 :]
                growth = [max(s[k] for s in settled) - settled[0][k] if settled else 0 for k in (0, 1)]
                lines = trace.read_text().splitlines()
                header = lines[0].split(",")
                columns = [header.index(c) for c in ("step", "seconds", "one_minus_cos", "weight_norm")]
                rows = [[float(line.split(",")[c]) for c in columns] for line in lines[1:]]
                first, last = rate(rows, 0.02, 0.2), rate(rows, 0.6, 1.0)
                now = [settled[0][k] // 1024 if settled else 0 for k in (0, 1)]
                print(
                    f"{name} {precision}: {int(steps)} steps in {rows[-1][1]:.1f} s, {first:.4g} then {last:.4g} steps/s, "
                    f"norm {rows[-1][3]:.4g}, 1 - cos to W_mm {rows[-1][2]:.3g}, memory {now[0]} KiB allocated and {now[1]} KiB resident, "
                    f"grown by {growth[0] // 1024} and {growth[1] // 1024} KiB",
                    flush=True,
                )
                if not all(0 <= g <= FLAT for g in growth):
                    faults.append(f"{name} {precision}: memory has grown by {growth} bytes")
                if not last * SLOWER >= first:
                    faults.append(f"{name} {precision}: {first:.4g} steps/s at first and {last:.4g} at last")
            # A direction is right to about so much (docs/performance.md), and each step pulls W back to where it belongs, so that this does
            # not add up. The interval was set with the numbers of shorter runs known, which are a tenth of it.
            angle = math.sqrt(2.0 * one_minus_cos(weights["f32"], weights["f64"]))
            bound = 4 * (shape[0] + shape[2] + 2) * 2.0**-24
            norms = [math.hypot(*weights[precision]) for precision in ("f32", "f64")]
            print(f"{name}: float32 and float64 are {angle:.3g} apart (at most {bound:.3g}), norms {norms[0]:.8g} and {norms[1]:.8g}")
            if not angle <= bound:
                faults.append(f"{name}: float32 and float64 are {angle:.3g} apart")
    for fault in faults:
        print(f"soak: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
