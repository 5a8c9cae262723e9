"""benchmarks/RESULTS.md has three parts, which may come from different runs and machines: each is written without the others."""
import math

from . import environment

FILE = environment.ROOT / "benchmarks" / "RESULTS.md"
HEADINGS = {"steps": "# Results\n", "many": "# Many runs at once\n", "attention": "# Attention over heads\n"}


def parts_of(text: str) -> dict[str, str]:
    """Each part from its heading to the next one there is."""
    begins = {name: ("\n" + text).find("\n" + heading) for name, heading in HEADINGS.items()}
    found = sorted((at, name) for name, at in begins.items() if at >= 0)
    ends = [at for at, _ in found[1:]] + [len(text)]
    return {name: text[at:end] for (at, name), end in zip(found, ends)}


def write(**parts: str) -> None:
    """The parts that are given; the others stay."""
    all_parts = {**(parts_of(FILE.read_text()) if FILE.exists() else {}), **parts}
    FILE.write_text("\n".join(all_parts[name].rstrip("\n") + "\n" for name in HEADINGS if name in all_parts))


def without_nan(value):
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
