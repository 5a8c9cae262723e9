#!/usr/bin/env python3
"""How long a step over MPI takes: measured on few ranks, a model fitted to that, what the model says of many
ranks, and a simulation of the messages that checks it. docs/mpi.md tells what came out.

    scaling.py measure --program softstep --launch "mpirun --oversubscribe" --out measured.json
    scaling.py fit measured.json
    scaling.py predict [--sum-order any] [--samples N --tokens T --dim D] [--latency S --bandwidth B --flops F]
    scaling.py simulate [--ranks 4096] [--noise 0.0]
    scaling.py --self-test

A step of W alone (gd, ngd) on n samples of T tokens in d dimensions, K ranks, numbers of w bytes:
  work        (4 n T d + 4 n d^2) / K flops: two passes over the tokens, V = Z W^T and G = g^T Z, and 4 d^2 on every rank
  exponents   one allgather of 16 bytes: ceil(log2 K) messages
  gradient    bands of G go from rank to rank, C of them, each of b = w d^2 / C bytes. Band c is with rank r after
              (r + c) stages of the slower of: one message, latency + b / bandwidth; the rank's own products of a band. So
              (K - 1) (message + products of a band) until the last rank has the first band, then C - 1 of the slower.
              With --sum-order any, in place of it: each rank sums up its own products, then its share of the sums of all (a
              scatter by halves, ceil(log2 K) messages that halve from w d^2 / 2 bytes), and gives that to all (the same
              backwards). G has up to 4 bands, and a band is on its way while the products of the next are computed. No
              broadcast.
  broadcast   of w d^2 bytes: a tree of scatter and a ring of gather, ceil(log2 K) + K - 1 latencies, 2 w d^2 / bandwidth;
              or a binomial tree where that is less.
Assumptions: samples are alike; nothing else uses network or processors; every pair of ranks has the same
latency and bandwidth; no message is overlapped with the passes over the tokens, and all of one that is overlapped with
products costs the processor nothing.
"""
import argparse
import json
import math
import os
import random
import shlex
import subprocess
import sys
import tempfile

def bands(k, d, width):
    """How many bands of G there are and their bytes: OrderedProduct::rows_of_band, of one thread."""
    wanted = min(d // (8 * k), max((1 << 18) // (d * width), 1))
    rows = min(d, max((wanted + 3) // 4 * 4, 4))
    return math.ceil(d / rows), rows * d * width


def broadcast(k, size, latency, bandwidth):
    if k == 1:
        return 0.0
    hops = math.ceil(math.log2(k))
    return min(hops * (latency + size / bandwidth), (hops + k - 1) * latency + 2 * size / bandwidth)


def scattered(k, size, width, latency, bandwidth, flops):
    """Halves to and fro: ceil(log2 K) messages of (K - 1) / K of all bytes, and an addition for each number."""
    return math.ceil(math.log2(k)) * latency + (k - 1) / k * (size / bandwidth + size / width / flops)


def gathered(k, size, latency, bandwidth):
    """The same backwards, without additions."""
    return math.ceil(math.log2(k)) * latency + (k - 1) / k * size / bandwidth


def shared_sum(k, size, width, latency, bandwidth, flops):
    return scattered(k, size, width, latency, bandwidth, flops) + gathered(k, size, latency, bandwidth)


def bands_of_sum(d, width):
    """OrderedProduct::rows_of_sum, of one thread."""
    return math.ceil(d / min(d, max((max(d // 4, (1 << 18) // (d * width)) + 3) // 4 * 4, 4)))


def summed(k, d, width, own, latency, bandwidth, flops):
    """Products of a rank and the sum of them over the ranks: when one band of G is computed, the one before it, whose shares have been
    added up meanwhile, is given to all, and then its own shares are added up. The network does one thing after the other."""
    count = bands_of_sum(d, width)
    size = width * d * d / count
    scatter, gather = scattered(k, size, width, latency, bandwidth, flops), gathered(k, size, latency, bandwidth)
    now = network = added_up = 0.0
    for band in range(count):
        now += own / count
        if band > 0:
            now = max(now, added_up)
            network = max(network, now) + gather
        network = max(network, now) + scatter
        added_up = network
    return max(now, network) + gather


def step(k, n, t, d, width, latency, bandwidth, flops, order="samples"):
    """Seconds of a step, and of its part that is messages."""
    count, size = bands(k, d, width)
    own = 2 * n / k * d * d / flops  # products into G
    local = (4 * n / k * t * d + 2 * n / k * d * d + 4 * d * d) / flops
    if k == 1:
        return local + own, 0.0
    if order == "any":
        whole = local + math.ceil(math.log2(k)) * latency + summed(k, d, width, own, latency, bandwidth, flops)
        return whole, whole - local - own
    message, part = latency + size / bandwidth, own / count
    chain = (k - 1) * (message + part) + part + (count - 1) * max(message, part)
    exponents = math.ceil(math.log2(k)) * latency
    whole = local + chain + exponents + broadcast(k, width * d * d, latency, bandwidth)
    return whole, whole - local - own


def simulated_chain(k, count, message, part, noise=0.0, seed=1):
    """When the last rank has the last band: every band is sent as soon as it is added to, every rank takes
    one band at a time. Noise: the products of a band take up to that share longer, at random."""
    draw = random.Random(seed)
    ready = [0.0] * count  # of each band, on the rank before
    for rank in range(k):
        free = 0.0
        for c in range(count):
            arrives = ready[c] + (message if rank > 0 else 0.0)
            free = max(free, arrives) + part * (1.0 + noise * draw.random())
            ready[c] = free
    return ready[-1]


def simulated_broadcast(k, size, latency, bandwidth):
    """A binomial tree, message by message."""
    has = {0: 0.0}
    span = 1
    while span < k:
        for rank in list(has):
            to = rank + span
            if to < k:
                sent = has[rank] + latency + size / bandwidth
                has[rank] = has[to] = sent
        span *= 2
    return max(has.values())


def simulated_shared_sum(k, size, width, latency, bandwidth, flops, noise=0.0, seed=1):
    """Every message of the halving and the doubling, k a power of two: a pair goes on when both have what the other sent."""
    draw = random.Random(seed)
    free = [noise * draw.random() * size / bandwidth for _ in range(k)]
    part, span = size / 2, k // 2
    while span:
        meets = [max(free[r], free[r ^ span]) for r in range(k)]
        free = [at + latency + part / bandwidth + part / width / flops for at in meets]
        part, span = part / 2, span // 2
    part, span = size / k, 1
    while span < k:
        meets = [max(free[r], free[r ^ span]) for r in range(k)]
        free = [at + latency + part / bandwidth for at in meets]
        part, span = part * 2, span * 2
    return max(free)


def run(program, launch, ranks, threads, folder, data, steps, precision, order):
    head = shlex.split(launch) + ["-n", str(ranks)] if ranks else []
    form = ["--form", "dense"] + (["--sum-order", order] if ranks else [])
    done = subprocess.run(head + [program, "train", "--data", data, "--rule", "ngd", "--steps", str(steps), "--reference",
                                  "none", "--trace-rows-per-decade", "0", "--precision", precision, "--threads",
                                  str(threads), "--json", "run.json", *form], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
        said = json.load(file)
    return said["seconds"] / steps


def measure(options):
    shapes = [(400, 20, 128, 40), (2000, 20, 128, 20), (400, 10, 512, 10), (2000, 20, 512, 5)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n, t, d, steps in shapes:
            subprocess.run([os.path.abspath(options.program), "generate", "--samples", str(n), "--tokens", str(t), "--dim",
                            str(d), "--out", "data.safetensors"], cwd=folder, check=True, capture_output=True)
            for ranks, threads in ((0, 1), (0, 2), (1, 1), (2, 1), (4, 1)):
                # The shortest of several: whatever else the machine does makes a step longer and never shorter.
                for order in ("samples", "any") if ranks > 1 else ("samples",):
                    best = min(run(os.path.abspath(options.program), options.launch, ranks, threads, folder,
                                   "data.safetensors", steps, "f64", order) for _ in range(options.tries))
                    rows.append({"n": n, "t": t, "d": d, "ranks": ranks, "threads": threads, "order": order, "seconds": best})
                    print(f"n {n} T {t} d {d}  ranks {ranks or '-'} threads {threads} {order}  {best * 1e3:.3f} ms a step",
                          flush=True)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)


def fit(options):
    """Flops from runs on one rank; then latency and bandwidth from those on two, by trying a grid of them."""
    with open(options.measured, encoding="utf-8") as file:
        rows = json.load(file)
    flops = sorted(row["n"] * (4 * row["t"] * row["d"] + 4 * row["d"] ** 2) / row["seconds"]
                   for row in rows if row["ranks"] == 1)
    flops = flops[len(flops) // 2]
    best = None
    for i in range(61):
        for j in range(61):
            latency, bandwidth = 10 ** (-7 + 0.08 * i), 10 ** (7.5 + 0.06 * j)
            error = 0.0
            for row in rows:
                if row["ranks"] == 2:
                    said, _ = step(2, row["n"], row["t"], row["d"], 8, latency, bandwidth, flops, row["order"])
                    error += math.log(said / row["seconds"]) ** 2
            if best is None or error < best[0]:
                best = (error, latency, bandwidth)
    _, latency, bandwidth = best
    print(f"flops {flops:.3g} a second, latency {latency:.3g} s, bandwidth {bandwidth:.3g} bytes a second")
    for row in rows:
        if row["ranks"] < 1:
            continue
        shared = max(1.0, row["ranks"] / options.cores)  # ranks that share a core
        said, _ = step(row["ranks"], row["n"], row["t"], row["d"], 8, latency, bandwidth, flops / shared, row["order"])
        print(f"n {row['n']} T {row['t']} d {row['d']} ranks {row['ranks']} {row['order']}: measured {row['seconds'] * 1e3:.3f} ms, "
              f"model {said * 1e3:.3f} ms, model / measured {said / row['seconds']:.2f}")


def predict(options):
    n, t, d, width = options.samples, options.tokens, options.dim, 4
    alone, _ = step(1, n, t, d, width, options.latency, options.bandwidth, options.flops)
    print(f"{n:.3g} samples of {t} tokens, d {d}, float32: {n * t * d * 4 / 1e9:.3g} GB; one node {alone:.4g} s a step")
    for k in (16, 64, 256, 1024, 4096):
        said, messages = step(k, n, t, d, width, options.latency, options.bandwidth, options.flops, options.sum_order)
        print(f"{k:5d} nodes: {said:.4g} s a step, of it messages and waiting {messages:.4g} s, efficiency "
              f"{alone / said / k:.3f}")


def simulate(options):
    k, latency, bandwidth, width = options.ranks, options.latency, options.bandwidth, 4
    worst = 0.0
    for n, d in ((1 << 22, 512), (1 << 22, 2048), (1 << 26, 512)):
        count, size = bands(k, d, width)
        message, part = latency + size / bandwidth, 2 * n / k * d * d / options.flops / count
        formula = (k - 1) * (message + part) + part + (count - 1) * max(message, part)
        said = simulated_chain(k, count, message, part, options.noise)
        worst = max(worst, abs(said / formula - 1.0))
        tree = simulated_broadcast(k, width * d * d, latency, bandwidth)
        tree_formula = math.ceil(math.log2(k)) * (latency + width * d * d / bandwidth)
        worst = max(worst, abs(tree / tree_formula - 1.0))
        if k & (k - 1) == 0:
            of_shares = simulated_shared_sum(k, width * d * d, width, latency, bandwidth, options.flops, options.noise)
            shares_formula = shared_sum(k, width * d * d, width, latency, bandwidth, options.flops)
            worst = max(worst, abs(of_shares / shares_formula - 1.0))
            print(f"d {d}: sum by shares simulated {of_shares * 1e3:.4f} ms, formula {shares_formula * 1e3:.4f} ms")
        print(f"n {n} d {d}: chain simulated {said * 1e3:.4f} ms, formula {formula * 1e3:.4f} ms; binomial tree simulated "
              f"{tree * 1e3:.4f} ms, formula {tree_formula * 1e3:.4f} ms")
    print(f"largest difference {worst:.2e}")
    return worst


def self_test(options):
    options.ranks, options.noise = 300, 0.0
    good = simulate(options)
    good = max(good, *(abs(simulated_shared_sum(k, 1e6, 4, 2e-6, 1e10, 1e12) / shared_sum(k, 1e6, 4, 2e-6, 1e10, 1e12) - 1)
                       for k in (2, 64, 1024)))
    # Where the network takes no time a step has the products alone; where they take none, the messages of all bands.
    alone, network = summed(64, 2048, 4, 1.0, 0.0, 1e30, 1e30), summed(64, 2048, 4, 0.0, 2e-6, 1e10, 1e12)
    of_bands = 4 * shared_sum(64, 4 * 2048 * 512, 4, 2e-6, 1e10, 1e12)
    if bands_of_sum(2048, 4) != 4 or abs(alone - 1.0) > 1e-9 or abs(network / of_bands - 1.0) > 1e-9:
        good = math.inf
    # The pipeline is exact where a message never waits for a rank or never finds one idle; between, the formula
    # leaves out at most the shorter of the two once for each band.
    options.noise = 1.0
    bad = simulate(options)
    ok = good < 0.35 and bad > good
    print("self-test", "passed" if ok else "FAILED")
    return 0 if ok else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["measure", "fit", "predict", "simulate"])
    parser.add_argument("measured", nargs="?")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--program")
    parser.add_argument("--launch", default="mpirun --oversubscribe")
    parser.add_argument("--out", default="measured.json")
    parser.add_argument("--sum-order", choices=["samples", "any"], default="samples")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--samples", type=float, default=1e7)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--latency", type=float, default=2e-6)
    parser.add_argument("--bandwidth", type=float, default=1e10)
    parser.add_argument("--flops", type=float, default=1e12)
    parser.add_argument("--ranks", type=int, default=4096)
    parser.add_argument("--noise", type=float, default=0.0)
    options = parser.parse_args()
    if options.self_test:
        return self_test(options)
    if options.what is None:
        parser.error("nothing to do")
    {"measure": measure, "fit": fit, "predict": predict, "simulate": simulate}[options.what](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
