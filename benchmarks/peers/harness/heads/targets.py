"""What attention over heads is to reach, beside what was measured. Times are medians of one cell; a ratio is theirs over ours."""
import dataclasses
import math
import statistics

from ..targets import Row, at_least
from . import cells, memory, subjects
from .cells import Cell, Shape

PEERS = {"PyTorch": ("torch", None), "PyTorch, math path": ("torch", "math"), "JAX": ("jax", None), "NumPy": ("numpy", None),
         "ONNX Runtime": ("onnxruntime", None), "OpenVINO": ("openvino", None)}
FULL, HALVED = "full 512-bit units", "halved 512-bit units or AVX2"


def units(machine: dict[str, str]) -> str:
    """Which of the two columns of targets holds for this processor. Zen 4 (family 25) halves its 512-bit multiply-adds."""
    return FULL if machine["vectors"] == "AVX-512" and "family 25" not in machine["cpu"] else HALVED


@dataclasses.dataclass(frozen=True)
class Measured:
    """A cell as it was written to its file."""
    result: dict

    @property
    def shape(self):
        return subjects.shape_of(self.result["shape"])

    @property
    def cases(self) -> list[str]:
        return [e["case"] for e in self.result["entries"] if e["peer"] == "softstep"]

    def us(self, case: str, peer: str = "softstep", variant: str | None = None) -> float:
        """Of the best variant, or of one, which may have been timed in the first round alone."""
        times = [e["median_us"] for e in self.result["entries"] if e["peer"] == peer and e["case"] == case
                 and e["median_us"] is not None and not e["refused"] and variant in (None, e["variant"])]
        return min(times, default=math.nan)

    def backward(self, peer: str = "softstep") -> float:
        return self.us("both", peer) - self.us("forward", peer)

    def ratio(self, case: str, name: str) -> float:
        return self.us(case, *PEERS[name]) / self.us(case)

    def of_limit(self, case: str, amount: float, limit: str) -> float:
        """Median over the rounds, each beside the limit that was measured in it: other users of the machine slow both."""
        rounds = next((e["rounds_us"] for e in self.result["entries"] if e["peer"] == "softstep" and e["case"] == case
                       and e["median_us"] == self.us(case)), [])
        return statistics.median([amount / (1e-6 * us * now[limit]) for us, now in zip(rounds, self.result["limits"])] or [math.nan])

    def of_peak(self, case: str) -> float:
        return self.of_limit(case, self.shape.flops(case), "flops")

    def of_read(self) -> float:
        return self.of_limit("forward", self.shape.bytes_of_keys_and_values(self.result["type"]), "bytes")

    @property
    def label(self) -> list[str]:
        return [str(self.shape), self.result["type"], str(self.result["threads"])]


class Table:
    def __init__(self, results: list[dict]):
        self.measured = [Measured(r) for r in results]
        self.by_cell = {str(Cell(m.result["part"], m.shape, m.result["type"], m.result["threads"])): m for m in self.measured}

    def cell(self, part: str, shape: Shape, number_type: str, threads: int) -> Measured:
        """One that was not measured has only NaN."""
        found = self.by_cell.get(str(Cell(part, shape, number_type, threads)))
        return found or Measured({"shape": dataclasses.asdict(shape), "type": number_type, "threads": threads, "entries": [],
                                  "limits": []})


def percent(what: str, wanted: float, value: float) -> Row:
    return at_least(what, 100 * wanted, 100 * value, " %")


def plural(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def speed_rows(table: Table, machine: dict[str, str], threads: list[int]) -> list[Row]:
    full = units(machine) == FULL
    rows = []
    for count in threads:
        cell, where = table.cell("targets", cells.TARGET, "f32", count), f"{cells.TARGET} f32, {plural(count)}"
        rows += [percent(f"{where}: forward, of the FMA peak", 0.80, cell.of_peak("forward")),
                 percent(f"{where}: forward + backward, of the FMA peak", 0.75, cell.of_peak("both")),
                 at_least(f"{where}: forward, PyTorch", 1.45 if full else 1.15, cell.ratio("forward", "PyTorch")),
                 at_least(f"{where}: forward + backward, PyTorch", 1.5 if full else 1.15, cell.ratio("both", "PyTorch")),
                 at_least(f"{where}: causal forward over its own full one", 1.8, cell.us("forward") / cell.us("forward-causal")),
                 at_least(f"{where}: causal forward, PyTorch", 1.7, cell.ratio("forward-causal", "PyTorch")),
                 at_least(f"{where}: causal forward + backward, PyTorch", 1.9, cell.ratio("both-causal", "PyTorch"))]
    for count in threads:
        cell, where = table.cell("targets", cells.TARGET, "f64", count), f"{cells.TARGET} f64, {plural(count)}"
        rows += [at_least(f"{where}: forward, PyTorch", 1.8, cell.ratio("forward", "PyTorch")),
                 at_least(f"{where}: forward + backward, PyTorch", 1.8, cell.ratio("both", "PyTorch"))]
    if len(threads) > 1:
        one, all_of_them = (table.cell("one-head", cells.ONE_HEAD, "f32", n) for n in (1, max(threads)))
        where = f"{cells.ONE_HEAD} f32: {max(threads)} threads over 1"
        rows += [at_least(f"{where}, forward", 1.85, one.us("forward") / all_of_them.us("forward")),
                 at_least(f"{where}, backward", 1.85, one.backward() / all_of_them.backward())]
    return rows


def decoding_rows(table: Table, threads: list[int]) -> list[Row]:
    rows = []
    for count in threads:
        cell, where = table.cell("decoding", cells.DECODING, "f32", count), f"{cells.DECODING}, {plural(count)}"
        rows.append(percent(f"{where}: f32 forward, of the read bandwidth", 0.85, cell.of_read()))
        for number_type in ("f16", "bf16"):
            half = table.cell("decoding", cells.DECODING, number_type, count)
            rows.append(at_least(f"{where}: {number_type} forward over f32", 1.8, cell.us("forward") / half.us("forward")))
        rows.append(at_least(f"{where}: f32 backward alone, PyTorch", 4, cell.backward("torch") / cell.backward()))
    return rows


def worst_of_all(table: Table) -> tuple[int, int, float, str]:
    """Cells and cases that are behind a peer, all of them, the least ratio and where it is."""
    ratios = [(m.ratio(case, peer), f"{' '.join(m.label)} {case}, {peer}")
              for m in table.measured for case in m.cases for peer in PEERS]
    told = [r for r in ratios if not math.isnan(r[0])]
    if not told:
        return 0, 0, math.nan, ""
    least = min(told)
    return sum(r[0] < 1 for r in told), len(told), *least


def memory_row(results: list[dict]) -> Row:
    taken = [r["bytes"] for r in results if r["peer"] == "softstep" and r["shape"] == str(memory.LONGEST) and "bytes" in r]
    what, target = f"{memory.LONGEST} f32: memory above inputs and outputs, the larger of both passes", "< 64 MB"
    if not taken:
        return Row(what, target, "", None)
    return Row(what, target, f"{max(taken) / 1e6:.1f} MB", max(taken) < memory.LIMIT)


def tokens_rows(results: list[dict]) -> list[Row]:
    rows = []
    for cell in results:
        def us(chosen) -> float:
            return min((e["median_us"] for e in cell["entries"] if e["median_us"] is not None and not e["refused"] and chosen(e)),
                       default=math.nan)

        ours = us(lambda e: e["peer"] == "softstep")
        where = f"model, all tokens as queries, {cell['shape']} {cell['type']}, {plural(cell['threads'])}"
        rows += [at_least(f"{where}: PyTorch autograd", 5, us(lambda e: e["variant"] == "tokens-autograd") / ours),
                 at_least(f"{where}: torch.compile", 3, us(lambda e: e["variant"].startswith("tokens-compile")) / ours)]
    return rows


def rows(results: dict) -> list[Row]:
    table, threads = Table(results["cells"]), results["threads"]
    behind, of, least, where = worst_of_all(table)
    grid = dataclasses.replace(at_least(f"every cell, pass, mask and peer: {of - behind} of {of} not behind", 1, least),
                               measured="" if math.isnan(least) else f"{least:.3g}x at the least: {where}")
    return [*speed_rows(table, results["machine"], threads), grid, *decoding_rows(table, threads),
            *tokens_rows(results.get("tokens") or []), memory_row(results.get("memory") or [])]


