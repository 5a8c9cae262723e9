#!/usr/bin/env python3
"""The faults of tests/mutation/ can be planted: each text is in its file exactly once, and no name is there twice.

    check_faults.py SOURCE_DIR [--self-test]

Builds nothing. That tests find them is seen by tests/mutation/plant_faults.py.
"""
import importlib.util
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from structure import Violation, run_script  # noqa: E402

FEWEST = 60


def fault_module(root):
    path = root / "tests/mutation/fault.py"
    spec = importlib.util.spec_from_file_location("fault", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fault"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def check(root):
    module = fault_module(root)
    faults = module.all_faults()
    if len(faults) < FEWEST:
        yield Violation("tests/mutation/faults", 0, f"{len(faults)} faults (need {FEWEST})")
    for file, message in module.problems(root, faults):
        yield Violation(file, 0, message)


def planted():
    first, last = "core/step_rules/rules/adam.h", "simd/kernels/dot.h"
    yield "the text of a fault changed", {first: lambda old: old.replace("scale(mean, settings.beta1);", "scale(mean, kept);")}
    yield "the text of a fault twice", {last: lambda old: old + "return sum((s0 + s1) + (s2 + s3));\n"}
    yield "the file of a fault taken away", {last: None}
    rules = "tests/mutation/faults/step_rules.py"
    yield "a name twice", {rules: lambda old: old.replace('"adam_share_not_rooted"', '"adam_betas_swapped"')}
    yield "a fault that changes nothing", {rules: lambda old: old.replace('"scale(mean, settings.beta2);"', '"scale(mean, settings.beta1);"')}
    yield "a fault of which nothing is said", {rules: lambda old: old.replace('"c_t is that of the next step."', '""')}
    yield "a fault in the reference", {rules: lambda old: re.sub(r'RULES \+ "adam.h"', '"core/reference/step_rules.h"', old, count=1)}
    yield "hardly a fault left", {f"tests/mutation/faults/{room}.py": None for room in ("kernels", "step_rules")}


if __name__ == "__main__":
    run_script(check, list(planted()))
