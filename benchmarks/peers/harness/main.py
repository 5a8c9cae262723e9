"""The command: which parts to run, and where the results go."""
import argparse
import json
import sys
import time

from . import breaking, environment, report, research, results_file, solvers, steps
from .heads import command as heads
from .many import command as many
from .results_file import without_nan
from .worker_process import COMPILED, INTERPRETED

SHAPES = "20,5,10 6,8,10 100,20,100 1000,64,256 256,512,128 4000,128,256 2000,8,512 64,16,2048"
RULE_SHAPES = "20,5,10 100,20,100 1000,64,256"
PARTS = ("steps", "rules", "breaking", "solver", "research")


def shape(text: str) -> steps.Shape:
    return steps.Shape(*map(int, text.split(",")))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare", allow_abbrev=False, description="softstep beside its peers",
                                     epilog="attention over heads: compare --attention --help; many runs: compare --many --help",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="none: only write the report again")
    parser.add_argument("--shapes", nargs="+", type=shape, default=[shape(s) for s in SHAPES.split()], metavar="n,T,d")
    parser.add_argument("--types", nargs="+", choices=["f32", "f64"], default=["f32", "f64"])
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(environment.cpus(0))}))
    parser.add_argument("--peers", nargs="+", choices=[*COMPILED, *INTERPRETED], default=[*COMPILED, *INTERPRETED])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of one measurement in one round")
    parser.add_argument("--research-seeds", type=int, default=3, help="seeds that the PyTorch + cvxpy script is timed on")
    parser.add_argument("--spoil", default="", metavar="PEER",
                        help="make this peer's steps 1 %% too long, to see the check refuse them")
    parser.add_argument("--merge", action="store_true", help="keep what the last run measured and this one does not")
    parser.add_argument("--report", action="store_true", help="write benchmarks/RESULTS.md")
    options = parser.parse_args()
    if options.spoil and options.report:
        parser.error("--report does not go with --spoil: its figures are of a peer that was made wrong")
    if "softstep" not in options.peers:
        options.peers.insert(0, "softstep")
    options.peers.sort(key=[*COMPILED, *INTERPRETED].index)  # softstep first: the others are compared with it
    return options


def merged(old: list[dict], new: list[dict]) -> list[dict]:
    """Cells of the last run that were not measured again, in the order of the shapes."""
    def key(cell: dict) -> tuple:
        return cell["shape"], cell["type"], cell["threads"]

    fresh = {key(cell) for cell in new}
    order = [*SHAPES.split(), *(cell["shape"] for cell in [*old, *new])]
    return sorted([c for c in old if key(c) not in fresh] + new, key=lambda c: (order.index(c["shape"]), c["type"], c["threads"]))


def measure(options: argparse.Namespace) -> dict:
    results: dict = {"machine": environment.machine(), "threads": options.threads}
    if "steps" in options.parts:
        settings = steps.Settings(options.peers, options.rounds, options.seconds, options.spoil)
        cells = steps.run(options.shapes, options.types, options.threads, settings)
        results["steps"] = [{**cell, "commit": results["machine"]["commit"]} for cell in cells]
        results["steps_command"] = f"--rounds {options.rounds} --seconds {options.seconds:g}"
    if "rules" in options.parts:
        settings = steps.Settings(["softstep", "optax"], options.rounds, options.seconds)
        results["rules"] = steps.run([shape(s) for s in RULE_SHAPES.split()], options.types, [1], settings, "polyak")
    if "breaking" in options.parts:
        results["breaking"] = breaking.run()
    if "solver" in options.parts:
        results["solver"] = solvers.run(options.rounds)
    if "research" in options.parts:
        results["research"] = research.run(options.research_seeds, options.rounds)
    return without_nan(results)


def main() -> None:
    for word, part in (("--attention", heads), ("--many", many)):
        if sys.argv[1:2] == [word]:
            part.main(sys.argv[2:])
            return
    options = arguments()
    began = time.monotonic()
    file = steps.OUT / "results.json"
    old = json.loads(file.read_text()) if file.exists() else {}
    if not options.parts and not old:
        sys.exit("compare: nothing has been measured yet")
    results = measure(options) if options.parts else old
    if options.parts and options.merge and old:
        if "steps" in results:
            results["steps"] = merged(old.get("steps", []), results["steps"])
        results["threads"] = sorted({*old["threads"], *results["threads"]})
        results = {**old, **results, "merged": True}
    # What was measured stays where nothing is measured, and where a peer was made wrong.
    if options.parts and not options.spoil:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n")
    text = report.text(results)
    if options.report:
        results_file.write(steps=text)
    print(text)
    print(f"compare: {time.monotonic() - began:.0f} s", file=sys.stderr)
