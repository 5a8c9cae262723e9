"""benchmarks/RESULTS.md from the results."""
import math

from . import targets
from .targets import FORMS, PEERS, Cells

NAMES = {"ngd-optax": "optax `normalize_by_update_norm` (eps = 0)", "polyak-optax": "optax `polyak_sgd` (no cap)",
         "polyak-jaxopt": "jaxopt `PolyakSGD` (no cap)"}


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    marks = ["---" if k < left else "--:" for k in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, marks, *rows]) + "\n"


def us(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def apart(value: float | None) -> str:
    """Distances may be NaN, which is null in the results."""
    return "NaN" if value is None or math.isnan(value) else f"{value:.0e}"


def times(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}x" if value >= 100 else f"{value:.1f}x" if value >= 10 else f"{value:.2f}x"


def commits(results: dict) -> str:
    """The commit measured; where a merged run has several, each with its shapes."""
    shapes: dict[str, list[str]] = {}
    for cell in results.get("steps", []):
        of_commit = shapes.setdefault(cell.get("commit", results["machine"]["commit"]), [])
        if cell["shape"] not in of_commit:
            of_commit.append(cell["shape"])
    if len(shapes) < 2:
        return next(iter(shapes), results["machine"]["commit"])
    return "; ".join(f"{commit} ({', '.join(s.replace(',', ' ') for s in of)})" for commit, of in shapes.items())


def head(results: dict) -> str:
    versions: dict[str, str] = {}
    for cell in results.get("steps", []):
        versions |= cell["versions"]
    machine = {**results["machine"], "commit": commits(results)}
    lines = [[key, value] for key, value in machine.items()]
    lines += [[peer, version] for peer, version in versions.items()]
    return f"""# Results

Written by `benchmarks/peers/compare --report {results.get('steps_command', '')}` after
`benchmarks/peers/setup`{', cell by cell with `--merge`' if results.get('merged') else ''};
[peers/README.md](peers/README.md) says what is measured and how to read it,
`out/peers/results.json` holds every variant and round.
Medians of interleaved rounds on a machine that is shared with others: only ratios within one run count. Each answer was checked
first; there is no figure for a wrong one.

{table(['machine and versions', ''], lines, 2)}"""


def target_table(results: dict) -> str:
    rows: list[targets.Row] = []
    if results.get("steps"):
        rows += targets.step_rows(Cells.of(results["steps"]), max(results["threads"]))
    if results.get("solver"):
        rows += targets.solver_rows(results["solver"])
    if results.get("research"):
        rows += targets.research_rows(results["research"])
    lines = [[r.what, r.target, r.measured, r.verdict] for r in rows]
    short, met = (sum(r.met is wanted for r in rows) for wanted in (False, True))
    return f"""
## Targets

{met} met, {short} short, {len(rows) - met - short} not measured. Fractions of the machine's limits (FMA peak, bandwidth) are
measured by the benchmark program, see [README.md](README.md).

{table(['shape n,T,d; what', 'target', 'measured', ''], lines)}"""


def step_tables(results: list[dict]) -> str:
    cells = Cells.of(results)
    ratios, medians = [], []
    for key in cells.cells:
        shape, number_type, threads = key
        label = [shape, number_type, str(threads)]
        ratios.append([*label, us(cells.ours(key)), *(times(cells.ratio(key, peer)) for peer in PEERS)])
        best = [cells.best(key, chosen) for chosen in PEERS.values()]
        medians.append([*label, *(f"{us(e['median_us'])} ({e['variant']})" if e else "" for e in best)])
    names = ["n,T,d", "type", "threads"]
    return f"""
## A step of normalised gradient descent: kernel speed

softstep's dense form, us a step, and how many times as long the best variant of each peer takes.

{table([*names, 'softstep, us', *PEERS], ratios, 2)}
The same in us, with the variant that was best.

{table([*names, *PEERS], medians, 2)}"""


def span_table(results: list[dict]) -> str:
    cells, rows = Cells.of(results), []
    for key in cells.cells:
        ours = {form: cells.ours(key, form) for form in FORMS}
        if all(math.isnan(value) for form, value in ours.items() if form != "dense"):
            continue
        rows.append([*map(str, key), *(us(value) for value in ours.values()), times(ours["dense"] / ours["auto"]),
                     *(times(cells.ratio(key, peer, "auto")) for peer in ("PyTorch", "JAX", "NumPy", "Eigen, best"))])
    if not rows:
        return ""
    names = ["n,T,d", "type", "threads", *(f"{form}, us" for form in FORMS), "auto over dense", "PyTorch", "JAX", "NumPy",
             "Eigen"]
    return f"""
## The same trajectory for less: algebraic gain

Query span and token span take the same steps with fewer operations, so these ratios are not kernel speed. Peers are dense.

{table(names, rows, 2)}"""


def refusals(results: list[dict]) -> str:
    lines = [f"- {c['shape']} {c['type']} {c['threads']} {c['rule']}: {e['peer']} {e['variant']}: {e['refused']}"
             for c in results for e in c["entries"] if e["refused"]]
    return "\nNo figure for:\n\n" + "\n".join(lines) + "\n" if lines else ""


def rule_tables(results: dict) -> str:
    text = ""
    if results.get("rules"):
        cells, rows = Cells.of(results["rules"]), []
        for key in cells.cells:
            ours = cells.ours(key)
            theirs = [cells.us(key, lambda e, v=v: e["variant"] == v) for v in ("polyak-optax", "polyak-jaxopt")]
            rows.append([*map(str, key), us(ours), *(f"{us(t)} ({times(t / ours)})" for t in theirs)])
        text += f"""
## A Polyak step, us

{table(['n,T,d', 'type', 'threads', 'softstep', 'optax', 'jaxopt'], rows, 2)}"""
    if results.get("breaking"):
        rows = [[NAMES[r["rule"]], r["type"], str(r["broken_at"] or "never"), str(r["nan_at"] or "never"),
                 f"{r['ours_at_end']:.1e}", "NaN" if r["theirs_at_end"] is None else f"{r['theirs_at_end']:.1e}"]
                for r in results["breaking"]]
        text += f"""
Where they leave the way to W_mm (`signal_noise`, n=10, T=6, d=60, seed 0, from W = 0; broken: from this traced step on
1 - cos(W, W_mm) is more than twice softstep's), and 1 - cos after {results['breaking'][0]['steps']} steps.

{table(['rule', 'type', 'broken at step', 'NaN at step', 'softstep', 'theirs'], rows, 2)}"""
    return text


def solver_tables(results: list[dict]) -> str:
    text = """
## The max-margin problem (W-SVM)

From the data to W, all processors. Primal: d^2 variables, one vectorised constraint matrix. Dual: one variable a constraint,
with the Gram matrix as the Hadamard product of two small ones, softstep's own algebra. A method has solved the problem
if its margin is within 1e-8 of softstep's (to 1e-8); the shortfall is relative.
"""
    for part in results:
        ours = part["softstep"]
        rows = [["softstep", f"{1e3 * ours['seconds']:.3g}", "1.00x", f"gap {ours['duality_gap']:.0e}", "yes"],
                ["softstep, 1 thread", f"{1e3 * part['softstep_one_thread']:.3g}", "", "", "yes"]]
        for e in part["entries"]:
            if "seconds" not in e:
                rows.append([e["method"], "", "", e["refused"], "no"])
            else:
                rows.append([e["method"], f"{1e3 * e['seconds']:.3g}", times(e["seconds"] / ours["seconds"]),
                             apart(e["shortfall"]), "yes" if e["solved"] else "no"])
        text += f"\nn,T,d = {part['shape']}:\n\n" + table(["method", "ms", "ratio", "shortfall of the margin", "solved"], rows)
    return text


def research_text(r: dict) -> str:
    agreement = f"losses {apart(r['losses_apart'])} and norms {apart(r['norms_apart'])} (relative) apart"
    ours, theirs = r["softstep_seconds"], r["script_seconds"]
    if not r["agrees"]:
        return f"\n## The published research set-up\n\nNo figure: {agreement}.\n"
    return f"""
## The published research set-up

    {r['command']}

takes {ours:.3g} s as a process, from data to files. A PyTorch + cvxpy script (autograd, one vectorised constraint) takes
{theirs:.3g} s, {times(theirs / ours)} as long: the median of {r['script_seeds']} seeds times 100, on one thread,
which is its best. Checked: {agreement}.
"""


def text(results: dict) -> str:
    out = head(results) + target_table(results)
    if results.get("steps"):
        out += step_tables(results["steps"]) + refusals(results["steps"]) + span_table(results["steps"])
    out += rule_tables(results)
    if results.get("solver"):
        out += solver_tables(results["solver"])
    if results.get("research"):
        out += research_text(results["research"])
    return out
