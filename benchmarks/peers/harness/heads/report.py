"""The part of benchmarks/RESULTS.md about attention over heads."""
import math

from ..report import table, times
from . import breaking, cells, targets
from .targets import PEERS, Table

HEADING = "# Attention over heads"
CASES = {"forward": "forward", "both": "forward + backward", "forward-causal": "causal forward",
         "both-causal": "causal forward + backward"}


def ms(value: float) -> str:
    return "" if math.isnan(value) else f"{1e-3 * value:.3g}"


def part_of(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.0f} %"


def small(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.0e}"


def head(results: dict) -> str:
    versions: dict[str, str] = {}
    for cell in results["cells"]:
        versions |= cell["versions"]
    commits = dict.fromkeys(cell["commit"] for cell in results["cells"])
    lines = [[k, v] for k, v in {**results["machine"], "commit": ", ".join(commits) or results["machine"]["commit"]}.items()]
    lines += [[peer, version] for peer, version in versions.items()]
    settings = sorted({(c["rounds"], c["seconds"]) for c in results["cells"]})
    words = " and ".join(f"--rounds {rounds} --seconds {seconds:g}" for rounds, seconds in settings)
    return f"""{HEADING}

Written by `benchmarks/peers/compare --attention --report {words}` after `benchmarks/peers/setup`;
[peers/README.md](peers/README.md#attention-over-heads) says what is measured and how to read it, `out/peers/heads` holds every
variant and round. Medians of interleaved rounds on a machine that is shared with others: only ratios within one cell are safe.
Each answer was checked against float64 first; there is no figure for a wrong one.

{table(['machine and versions', ''], lines, 2)}"""


def target_table(results: dict) -> str:
    rows = targets.rows(results)
    short, met = (sum(r.met is wanted for r in rows) for wanted in (False, True))
    column = targets.units(results["machine"])
    return f"""
## Targets of attention over heads

{met} met, {short} short, {len(rows) - met - short} not measured. The ratios to PyTorch are those for a processor with {column}.

{table(['what', 'target', 'measured', ''], [[r.what, r.target, r.measured, r.verdict] for r in rows])}"""


def grid(results: dict) -> str:
    rows, medians = [], []
    for m in Table(results["cells"]).measured:
        if not m.shape.square:
            continue
        for case in (c for c in CASES if c in m.cases):
            label = [*m.label, CASES[case]]
            rows.append([*label, ms(m.us(case)), part_of(m.of_peak(case)), *(times(m.ratio(case, p)) for p in PEERS)])
            medians.append([*label, *(ms(m.us(case, *of)) for of in PEERS.values())])
    if not rows:
        return ""
    names = ["shape", "type", "threads", "pass"]
    return f"""
## Forward and backward, all lengths and head sizes

Time of a call of softstep, its fraction of the FMA peak (4 T^2 d flop forward, 10 T^2 d backward, half if causal), and how many
times as long the best variant of each peer takes. H16/4: 16 heads of queries, 4 of keys and values.

{table([*names, 'softstep, ms', 'of peak', *PEERS], rows, 4)}
The same in ms.

{table([*names, *PEERS], medians, 4)}"""


def linear_table(results: list[dict]) -> str:
    rows = []
    for m in Table(results).measured:
        for case in (c for c in CASES if c in m.cases):
            rows.append([*m.label, CASES[case], ms(m.us(case)), part_of(m.of_peak(case)),
                         *(times(m.ratio(case, p)) for p in ("PyTorch", "JAX"))])
    return f"""
## Linear attention

Plain, with one gate for each key, and with one for each key and dimension. Peers: chunks of 64 or 128 positions composed of matrix
products, PyTorch eager and (up to 16 chunks) torch.compile, JAX compiled; the best variant of each. Fraction of the FMA peak by the
flops of the recurrence: 4 T d^2 forward, 10 T d^2 backward.

{table(['shape', 'type', 'threads', 'pass', 'softstep, ms', 'of peak', 'PyTorch', 'JAX'], rows, 4)}""" if rows else ""


def decoding(results: dict) -> str:
    rows = []
    for m in Table(results["cells"]).measured:
        if m.shape.square:
            continue
        for case in (c for c in CASES if c in m.cases):
            read = m.shape.bytes_of_keys_and_values(m.result["type"]) / m.us(case) / 1e3
            of_read = [f"{read:.3g}", part_of(m.of_read())] if case == "forward" else ["", ""]
            rows.append([*m.label, CASES[case], ms(m.us(case)), *of_read,
                         *(times(m.ratio(case, p)) for p in PEERS)])
    if not rows:
        return ""
    return f"""
## Decoding: one query

GB/s of keys and values read once, and their fraction of the read bandwidth of the memory in the same rounds.

{table(['shape', 'type', 'threads', 'pass', 'softstep, ms', 'GB/s', 'of read', *PEERS], rows, 4)}"""


def refusals(results: dict) -> str:
    lines: dict[str, list[str]] = {}
    for cell in results["cells"]:
        for e in cell["entries"]:
            if e["refused"]:
                where = f"{targets.Measured(cell).shape} {cell['type']} {cell['threads']}"
                lines.setdefault(f"{e['peer']} {e['variant']} {e['case']}: {e['refused'][:160]}", []).append(where)
        for peer, why in cell["absent"].items():
            lines.setdefault(f"{peer}: {why[:160]}", [])
    return "\nNo figure for:\n\n" + "\n".join(f"- {what}{' (' + '; '.join(where) + ')' if where else ''}"
                                               for what, where in lines.items()) + "\n" if lines else ""


def memory_table(rows: list[dict]) -> str:
    lines = [[r["shape"], CASES[r["case"]], r["peer"], r["variant"],
              f"{r['bytes'] / 1e6:.1f}" if "bytes" in r else r["refused"][:80]] for r in rows]
    return f"""
## Peak memory

MB above inputs and outputs of one call in a process of its own, f32, {rows[0]['threads']} threads; all scores of one head are
T^2 numbers: 268 MB at T = 8192, 4295 MB at 32768.

{table(['shape', 'pass', 'who', 'variant', 'MB'], lines, 4)}""" if rows else ""


def saturated_table(rows: list[dict]) -> str:
    names = ["score spread", "who", "variant", "rows of dQ wrong / zero / NaN", "direction of dQ", "norm of dQ", "direction of dK",
             "norm of dK"]
    lines = []
    for r in sorted(rows, key=lambda r: r["spread"]):
        spread = f"{r['spread']:g}"
        if "refused" in r:
            lines.append([spread, r["peer"], r["variant"], r["refused"][:80], "", "", "", ""])
            continue
        lines.append([spread, r["peer"], r["variant"], f"{r['wrong']} / {r['zero']} / {r['nan']} of {r['rows']}",
                      small(r["dq_direction"]), small(r["dq_norm"]), r["dk"] or small(r["dk_direction"]),
                      "" if r["dk"] else small(abs(r["dk_norm"]))])
    return f"""
## Saturated rows in float32

T = 16, d = 16, scores exact in float32; against 500 digits. Error of a direction: distance of the unit vectors, more than 1 is
another direction. Error of a norm: relative. dQ: rows that are off by more than {breaking.WRONG:g} in direction, that are zero,
that are NaN; then the worst of those that have a direction. softstep gives an exponent beside each row of dQ and beside dK.

{table(names, lines, 3)}""" if rows else ""


def tokens_table(results: list[dict]) -> str:
    lines = []
    for cell in results:
        ours = min((e["median_us"] for e in cell["entries"] if e["peer"] == "softstep" and e["median_us"] is not None),
                   default=math.nan)
        for e in cell["entries"]:
            value = math.nan if e["median_us"] is None else e["median_us"]
            if e["refused"] or not math.isnan(value):
                lines.append([cell["shape"], cell["type"], str(cell["threads"]), e["peer"], e["variant"].removeprefix("tokens-"),
                              e["refused"][:100] or ms(value), "" if e["refused"] else times(value / ours)])
    return f"""
## The model with all tokens as queries

One step of normalised gradient descent on W, `signal_noise`.

{table(['n,T,d', 'type', 'threads', 'who', 'variant', 'ms', 'over softstep'], lines, 5)}""" if lines else ""


def text(results: dict) -> str:
    """Softmax attention first; targets and the grid are of it alone."""
    linear_cells = [cell for cell in results["cells"] if "gates" in cell["shape"]]
    results = {**results, "cells": [cell for cell in results["cells"] if "gates" not in cell["shape"]]}
    return (head(results) + target_table(results) + grid(results) + decoding(results) + refusals(results)
            + linear_table(linear_cells) + (refusals({"cells": linear_cells}) if linear_cells else "") + memory_table(results.get("memory") or []) + saturated_table(results.get("saturated") or [])
            + tokens_table(results.get("tokens") or []))
