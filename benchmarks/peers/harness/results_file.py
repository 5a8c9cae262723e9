"""benchmarks/RESULTS.md has two parts, which may come from different runs and machines: each is written without the other."""
import math

from . import environment

FILE = environment.ROOT / "benchmarks" / "RESULTS.md"
ATTENTION = "# Attention over heads\n"  # where the second part begins


def write(**parts: str) -> None:
    """`steps` or `attention`; the other one stays."""
    text = FILE.read_text() if FILE.exists() else ""
    steps, heading, attention = text.partition("\n" + ATTENTION)
    steps, attention = parts.get("steps", steps), parts.get("attention", heading[1:] + attention)
    FILE.write_text(steps.rstrip("\n") + "\n" + ("\n" + attention if attention else ""))


def without_nan(value):
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
