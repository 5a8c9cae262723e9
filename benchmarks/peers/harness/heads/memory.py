"""Peak memory of one call above its inputs and outputs, each in a process of its own: VmHWM, set back before the call."""
import dataclasses

from ..worker_process import HEADS_COMPILED, HEADS_INTERPRETED, Worker, WorkerFailed
from . import cells
from .cells import Shape

LIMIT = 64e6  # bytes, of softstep at the longest of these
LONGEST = cells.square(1, 32768, 64)
# Everybody where scores of all tokens take 268 MB; those that need not keep them also where they take 4.3 GB.
PLAN: list[tuple[Shape, dict[str, list[str]]]] = [
    (cells.square(1, 8192, 64), {peer: [] for peer in (*HEADS_COMPILED, *HEADS_INTERPRETED)}),
    (LONGEST, {"softstep": ["softstep"], "torch": ["default"]}),
]
TIMEOUT = 600.0


def bytes_above(shape: Shape, peer: str, variant: str, case: str, threads: int) -> int:
    worker = Worker("heads " + peer, "f32", threads)
    try:
        worker.ask("load", cells.make_data(shape), *dataclasses.astuple(shape), f"{shape.scale:.17g}", timeout=TIMEOUT)
        return worker.ask("memory", variant, case, timeout=TIMEOUT)["bytes"]
    finally:
        worker.close()


def ways(shape: Shape, peer: str, threads: int) -> dict[str, list[str]]:
    worker = Worker("heads " + peer, "f32", threads)
    try:
        return worker.ask("load", cells.make_data(shape), *dataclasses.astuple(shape), f"{shape.scale:.17g}",
                          timeout=TIMEOUT)["variants"]
    finally:
        worker.close()


def run(peers: list[str], threads: int, say) -> list[dict]:
    results = []
    for shape, plan in PLAN:
        for peer in (p for p in peers if p in plan):
            try:
                found = ways(shape, peer, threads)
            except (WorkerFailed, OSError) as error:
                say(f"memory: {peer}: {error}")
                continue
            for variant in plan[peer] or found:
                for case in (c for c in found[variant] if not c.endswith("-causal")):
                    row = {"shape": str(shape), "peer": peer, "variant": variant, "case": case, "threads": threads}
                    try:
                        row["bytes"] = bytes_above(shape, peer, variant, case, threads)
                    except WorkerFailed as error:
                        row["refused"] = str(error)
                    results.append(row)
                    say(f"memory: {row}")
    return results
