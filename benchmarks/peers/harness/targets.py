"""What the project wants to reach, beside what was measured. Times are medians of one cell; a ratio is theirs over ours."""
import dataclasses
import math

PEERS = {  # name in the tables -> which variants of which workers
    "PyTorch": lambda e: e["peer"] == "torch",
    "PyTorch, autograd": lambda e: e["peer"] == "torch" and "autograd" in e["variant"],
    "JAX": lambda e: e["peer"] == "jax",
    "optax": lambda e: e["peer"] == "optax",
    "NumPy": lambda e: e["peer"] == "numpy",
    "Eigen": lambda e: e["peer"] == "eigen",
    "Eigen + OpenBLAS": lambda e: e["peer"] == "eigen+openblas",
    "loops, -ffast-math": lambda e: e["peer"] == "loops",
}
GROUPS = {
    "PyTorch, a call a step": lambda e: e["peer"] == "torch" and "-x" not in e["variant"],
    "Eigen, best": lambda e: e["peer"] in ("eigen", "eigen+openblas"),
    "best BLAS-backed": lambda e: e["peer"] in ("eigen+openblas", "numpy", "torch"),
}
FORMS = ("dense", "query_span", "token_span", "auto")


@dataclasses.dataclass(frozen=True)
class Cells:
    """The measured cells of one rule, by shape, type and threads."""
    cells: dict[tuple[str, str, int], dict]

    @classmethod
    def of(cls, results: list[dict]) -> "Cells":
        return cls({(c["shape"], c["type"], c["threads"]): c for c in results})

    def best(self, key: tuple[str, str, int], chosen) -> dict | None:
        entries = self.cells.get(key, {"entries": []})["entries"]
        timed = [e for e in entries if e["median_us"] is not None and not e["refused"] and chosen(e)]
        return min(timed, key=lambda e: e["median_us"]) if timed else None

    def us(self, key: tuple[str, str, int], chosen) -> float:
        entry = self.best(key, chosen)
        return entry["median_us"] if entry else math.nan

    def ours(self, key: tuple[str, str, int], form: str = "dense") -> float:
        return self.us(key, lambda e: e["peer"] == "softstep" and e["variant"].split("-")[1] == form)

    def ratio(self, key: tuple[str, str, int], peer: str, form: str = "dense") -> float:
        return self.us(key, {**PEERS, **GROUPS}[peer]) / self.ours(key, form)


@dataclasses.dataclass(frozen=True)
class Row:
    what: str
    target: str
    measured: str
    met: bool | None  # None: not measured

    @property
    def verdict(self) -> str:
        return {True: "met", False: "**short**", None: "not measured"}[self.met]


def at_least(what: str, wanted: float, value: float, unit: str = "x") -> Row:
    if math.isnan(value):
        return Row(what, f">= {wanted:g}{unit}", "", None)
    return Row(what, f">= {wanted:g}{unit}", f"{value:.3g}{unit}", value >= wanted)


def at_most(what: str, wanted: float, value: float, unit: str) -> Row:
    if math.isnan(value):
        return Row(what, f"<= {wanted:g} {unit}", "", None)
    return Row(what, f"<= {wanted:g} {unit}", f"{value:.3g} {unit}", value <= wanted)


# shape, types, threads (0: all), peer, form, ratio wanted
RATIOS = [
    ("20,5,10", "f32 f64", 1, "PyTorch, a call a step", "dense", 45),
    ("20,5,10", "f32 f64", 1, "PyTorch", "dense", 45),
    ("20,5,10", "f32 f64", 1, "Eigen, best", "dense", 8),
    ("100,20,100", "f32 f64", 1, "PyTorch", "dense", 4.5),
    ("100,20,100", "f32 f64", 1, "Eigen + OpenBLAS", "dense", 1.9),
    ("100,20,100", "f32 f64", 1, "PyTorch", "query_span", 6),
    ("1000,64,256", "f32 f64", 1, "PyTorch", "dense", 2.5),
    ("1000,64,256", "f32 f64", 0, "PyTorch", "dense", 4),
    ("256,512,128", "f32 f64", 1, "PyTorch", "dense", 2.5),
    ("256,512,128", "f32 f64", 0, "PyTorch", "dense", 4),
    ("4000,128,256", "f32 f64", 1, "PyTorch", "dense", 2.7),
    ("4000,128,256", "f32 f64", 0, "PyTorch", "dense", 3.5),
    ("2000,8,512", "f32 f64", 1, "PyTorch", "dense", 1.8),
    ("2000,8,512", "f32 f64", 1, "best BLAS-backed", "dense", 1),
    ("64,16,2048", "f32", 1, "PyTorch", "auto", 150),
    ("64,16,2048", "f64", 1, "PyTorch", "auto", 400),
    ("64,16,2048", "f32", 1, "PyTorch", "dense", 1.4),
    ("64,16,2048", "f64", 1, "PyTorch", "dense", 3),
]
SMALLEST_US = {"f32": 0.5, "f64": 0.75}
NOT_SLOWER = 0.95  # never slower, as far as two cells that are not interleaved can tell
COMPUTE_BOUND = ("100,20,100", "2000,8,512", "64,16,2048")


def step_rows(cells: Cells, all_threads: int) -> list[Row]:
    rows = [at_most(f"20,5,10 {t}, 1 thread: a step", us, cells.ours(("20,5,10", t, 1)), "us")
            for t, us in SMALLEST_US.items()]
    for shape, types, threads, peer, form, wanted in RATIOS:
        count = threads or all_threads
        for number_type in types.split():
            what = f"{shape} {number_type}, {count} thread{'s' if count > 1 else ''}, {form}: {peer}"
            rows.append(at_least(what, wanted, cells.ratio((shape, number_type, count), peer, form)))
    for shape, number_type in sorted({key[:2] for key in cells.cells}) if all_threads > 1 else []:
        gain = cells.ours((shape, number_type, 1)) / cells.ours((shape, number_type, all_threads))
        wanted = 1.8 if shape in COMPUTE_BOUND else NOT_SLOWER
        row = at_least(f"{shape} {number_type}: {all_threads} threads over 1", wanted, gain)
        rows.append(row)
    return rows


def solver_rows(results: list[dict]) -> list[Row]:
    """A method that was stopped took longer than that: its ratio is a lower bound."""
    full, rows = results[0], []
    for form, words in (("primal", "as the problem is written"), ("dual", "handed the Gram matrix")):
        entries = [e for e in full["entries"] if e["method"].startswith(f"cvxpy-{form}")]
        best = min((e["seconds"] for e in entries if e.get("solved")), default=math.nan)
        stopped = min((e["stopped_after"] for e in entries if "stopped_after" in e), default=math.nan)
        what = f"W-SVM {full['shape']} to 1e-8: cvxpy's best, {words}"
        row = at_least(what, 100, (stopped if math.isnan(best) else best) / full["softstep"]["seconds"])
        rows.append(dataclasses.replace(row, measured=f"> {row.measured}") if math.isnan(best) and row.measured else row)
    return rows


def research_rows(result: dict) -> list[Row]:
    ratio = result["script_seconds"] / result["softstep_seconds"] if result["agrees"] else math.nan
    return [at_most("published set-up end to end", 1, result["softstep_seconds"], "s"),
            at_least("published set-up: the PyTorch + cvxpy script", 100, ratio)]
