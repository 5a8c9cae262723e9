"""The part of benchmarks/RESULTS.md about many runs, with its targets."""
import math

from ..report import table, times, us
from ..targets import Row, at_least, at_most

HEADING = "# Many runs at once"
# shape: over our own runs one by one (AVX-512, others), in which form, and over JAX
TARGETS = {"6,8,10": (4, 3, "one_by_one", 5), "20,5,10": (4, 3, "one_by_one", 5), "10,6,60": (1.5, 1.5, "dense", 4)}
CALLED = {"one_by_one": "our own runs, one by one", "dense": "our own dense runs, one by one"}


def best(cell: dict, peer: str, variant: str = "") -> tuple[float, str]:
    """Time of a step of one run, us, of the peer's best variant, or of one."""
    timed = [(e["median_us"], e["variant"]) for e in cell["entries"] if e["peer"] == peer and e["variant"].startswith(variant)
             and e["median_us"] is not None and not math.isnan(e["median_us"]) and not e["refused"]]
    return min(timed, default=(math.nan, ""))


def ours(cell: dict) -> float:
    return best(cell, "softstep", "side_by_side")[0]


def targets(results: dict) -> list[Row]:
    rows = []
    wide = results["machine"]["vectors"] == "AVX-512"
    for cell in results["cells"]:
        over_own, over_own_narrow, form, over_jax = TARGETS[cell["shape"]]
        where = f"{cell['shape']} {cell['type']}, {cell['runs']} runs"
        rows += [at_least(f"{where}: {CALLED[form]}", over_own if wide else over_own_narrow,
                          best(cell, "softstep", form)[0] / ours(cell)),
                 at_least(f"{where}: JAX, vmap", over_jax, best(cell, "jax")[0] / ours(cell))]
    programs = {p["program"]: p for p in results.get("programs") or [] if p["same_numbers"]}
    if "published" in programs:
        seconds = programs["published"]["seconds"]
        rows.append(at_most("published set-up, whole program, 1 thread", 20, 1e3 * seconds["1"], "ms"))
        if "2" in seconds:
            rows.append(at_least("published set-up, 2 threads over 1", 1.8, seconds["1"] / seconds["2"]))
    if "sweep" in programs:
        count = max(programs["sweep"]["seconds"], key=int)
        alone = next((best(c, "softstep", "one_by_one")[0] for c in results["cells"]
                      if (c["shape"], c["type"]) == ("6,8,10", "f64")), math.nan)
        by_runs = 6000 * 2000 * 1e-6 * alone / int(count)  # what single runs alone would take
        rows.append(at_least(f"sweep of 6000 runs, whole program, {count} threads: the steps of single runs alone", 4,
                             by_runs / programs["sweep"]["seconds"][count]))
    return rows


def step_table(cells: list[dict]) -> str:
    rows = []
    for cell in cells:
        mine = ours(cell)
        theirs = [best(cell, *key) for key in (("softstep", "one_by_one"), ("softstep", "dense"), ("jax",), ("torch",))]
        rows.append([cell["shape"], cell["type"], str(cell["runs"]), us(mine),
                     *(f"{us(t)} ({times(t / mine)}{', ' + name if name and name not in CALLED else ''})" if name else ""
                       for t, name in theirs)])
    return table(["n,T,d", "type", "runs", "side by side, us", "softstep, one by one", "softstep, dense", "JAX", "PyTorch"], rows, 2)


def refusals(cells: list[dict]) -> str:
    lines = [f"- {c['shape']} {c['type']}: {e['peer']} {e['variant']}: {e['refused']}"
             for c in cells for e in c["entries"] if e["refused"]]
    return "\nNo figure for:\n\n" + "\n".join(lines) + "\n" if lines else ""


def program_table(programs: list[dict]) -> str:
    if not programs:
        return ""
    lines = []
    for p in programs:
        figures = "takes " + "; ".join(f"{1e3 * s:.3g} ms with {count} thread{'s' if int(count) > 1 else ''}"
                                       for count, s in p["seconds"].items())
        figures = figures if p["same_numbers"] else "no figure: the numbers depend on the threads"
        lines.append(f"    {p['command']}\n\n{figures}.\n")
    return """
## Whole programs

Processes from start to end, with data, traces and files; the numbers are the same for any number of threads.

""" + "\n".join(lines)


def text(results: dict) -> str:
    rows = targets(results)
    short, met = (sum(r.met is wanted for r in rows) for wanted in (False, True))
    versions: dict[str, str] = {}
    for cell in results["cells"]:
        versions |= cell["versions"]
    lines = [[k, v] for k, v in {**results["machine"], **versions}.items()]
    return f"""{HEADING}

Written by `benchmarks/peers/compare --many --report --rounds {results['rounds']} --seconds {results['seconds']:g}` after
`benchmarks/peers/setup`. [peers/README.md](peers/README.md#many-runs-at-once) says what is measured; `out/peers/many.json` holds
every variant and round. Medians of interleaved rounds on a machine that is shared with others: only ratios within one row count.

{table(['machine and versions', ''], lines, 2)}
## Targets of many runs

{met} met, {short} short, {len(rows) - met - short} not measured.

{table(['shape n,T,d; what', 'target', 'measured', ''], [[r.what, r.target, r.measured, r.verdict] for r in rows])}
## A step of one run among many

Normalised gradient descent, each run on data of its own, one thread; us for a step of one run, in brackets how many times as long
as side by side, and the peer's best variant.

{step_table(results['cells'])}{refusals(results['cells'])}{program_table(results.get('programs') or [])}"""
