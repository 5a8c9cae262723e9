#!/usr/bin/env python3
"""Rooms and their one-way includes: who may include what (CONTRIBUTING, "the rooms").

    check_includes.py SOURCE_DIR [--self-test]
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from structure import Violation, run_script, source_files  # noqa: E402

C_HEADERS = {"assert.h", "float.h", "inttypes.h", "limits.h", "math.h", "stddef.h", "stdint.h", "stdlib.h", "string.h",
             "cassert", "cfloat", "cinttypes", "climits", "cmath", "cstddef", "cstdint", "cstdlib", "cstring"}
# Templates without storage or code of their own: nothing of them is left in an object file.
HEADER_ONLY_STD = {"bit", "limits", "type_traits", "utility"}

KINDS = [  # first match wins
    ("own", r"reproduce/\w+\.def$"),  # the table of the tools themselves
    ("def", r"[\w/]*\.def$"),
    ("xsimd", r"xsimd/"),
    ("eigen", r"(unsupported/)?Eigen/"),
    ("json", r"nlohmann/"),
    ("boost", r"boost/"),
    ("cli", r"CLI/"),
    ("fmt", r"fmt/"),
    ("catch", r"catch2/"),
    ("benchmark", r"benchmark/benchmark\.h$"),
    ("stored", r"softstep/stored_type\.h$"),  # an enumeration alone
    ("public", r"softstep/"),
    ("rows", r"simd/rows/"),
    ("kernels", r"simd/(kernels/|vec\.h|exp\.h)"),
    ("dispatch", r"simd/dispatch\.h$"),
    ("simd", r"simd/"),
    ("reference", r"core/reference/"),
    ("linalg", r"core/linalg/\w+\.h$"),
    ("threads", r"core/threads/\w+\.h$"),
    ("core", r"core/"),
    ("support", r"support/"),
    ("system", r"(omp|cpuid|pthread|sched)\.h$|sys/|unistd\.h$|fcntl\.h$"),
    ("intrinsics", r"(emmintrin|immintrin|arm_neon)\.h$"),
]


def kind(name):
    if name in C_HEADERS:
        return "c"
    if name in HEADER_ONLY_STD:
        return "std-header-only"
    for word, pattern in KINDS:
        if re.match(pattern, name):
            return word
    if re.fullmatch(r"[a-z_]+", name):
        return "std"
    return "own"  # a neighbour, as in #include "neighbour.h"


STD = {"c", "std-header-only", "std", "system"}
# (files, what they may include); first match wins
ROOMS = [
    (r"simd/rows/.*", {"c", "std-header-only", "xsimd", "intrinsics", "rows"}),
    (r"simd/(kernels/.*|vec\.h|exp\.h|one_isa\.cpp)", {"c", "std-header-only", "kernels", "dispatch", "def"}),
    (r"simd/.*", {"c", "std-header-only", "system", "simd", "dispatch", "stored", "def"}),
    (r"core/include/softstep/eigen\.h", STD | {"public", "stored", "eigen"}),
    (r"core/include/.*", STD - {"system"} | {"public", "stored"}),
    (r"core/reference/.*", {"c", "std-header-only", "std", "reference", "own"}),
    (r"core/threads/.*", STD | {"public", "stored", "threads", "own"}),
    (r"core/(data/files|trainer)/.*\.cpp", STD | {"public", "stored", "dispatch", "core", "linalg", "threads", "def", "eigen", "own", "json"}),
    (r"core/.*\.cpp", STD | {"public", "stored", "dispatch", "core", "linalg", "threads", "reference", "def", "eigen", "own"}),
    (r"core/.*", STD | {"public", "stored", "dispatch", "core", "linalg", "threads", "def", "own"}),
    (r"mpi/.*", STD | {"public", "stored", "own"}),  # and mpi.h
    (r"tools/.*", STD | {"public", "stored", "cli", "fmt", "json", "own"}),
    (r"benchmarks/textbook/one_isa\.cpp", {"kernels"}),  # compiled for one instruction set
    (r"benchmarks/step_parts\.h", STD | {"benchmark", "core", "own"}),  # times what no public function does alone
    (r"benchmarks/.*", STD | {"public", "stored", "dispatch", "reference", "benchmark", "eigen", "def", "own"}),
    (r"(examples|packaging)/.*", STD | {"public", "stored", "own"}),  # and the solver that each is for
    (r"python/.*", STD | {"public", "stored", "own"}),  # and nanobind
    # Parsers, by their own entry; the program's command line; and the cases of tests/simd/ with other bytes.
    (r"tests/fuzz/.*", STD | {"public", "stored", "core", "dispatch", "simd", "support", "json", "own"}),
    # The rows of the solver over ranks, which no public function shows.
    (r"tests/mpi/.*", STD | {"public", "stored", "core", "own"}),
    # The solver's parts given wrong answers and hand-made states, which no public function takes.
    (r"tests/max_margin/(solver_parts\.h|test_(certificate|dual_state|ascent|ray_search|ray_proof|exact_rank)\.cpp)",
     STD | {"public", "stored", "core", "dispatch", "catch", "own"}),
    # The self check is shown kernels with faults in tables of their own.
    (r"tests/layer/test_bad_input\.cpp", STD | {"public", "stored", "core", "dispatch", "catch", "support", "def"}),
    (r"tests/.*", STD | {"public", "stored", "dispatch", "reference", "linalg", "threads", "catch", "boost", "eigen", "json", "support", "def",
                       "own"}),
]


def check(root):
    for path in source_files(root, (".h", ".cpp")):
        name = path.relative_to(root).as_posix()
        room = next((room for room in ROOMS if re.fullmatch(room[0], name)), None)
        if room is None:
            yield Violation(name, 0, "is in no room")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if not match:
                continue
            included = match.group(1)
            if included.startswith("../") or "/../" in included:
                yield Violation(name, number, f"includes {included}: name it from the top of the tree")
            elif kind(included) not in room[1]:
                yield Violation(name, number, f"includes {included} ({kind(included)}), which its room may not")


PLANTED = [
    ("simd/kernels/planted.h", "#include <vector>\n"),
    ("simd/kernels/planted.h", "#include <Eigen/Core>\n"),
    ("simd/planted.h", "#include <xsimd/xsimd.hpp>\n"),
    ("simd/planted.h", '#include "softstep/batch.h"\n'),
    ("simd/kernels/planted.h", "#include <xsimd/xsimd.hpp>\n"),
    ("simd/kernels/planted.h", "#include <immintrin.h>\n"),
    ("simd/kernels/planted.h", '#include "simd/rows/avx2.h"\n'),
    ("simd/rows/planted.h", '#include "simd/dispatch.h"\n'),
    ("core/include/softstep/planted.h", "#include <Eigen/Core>\n"),
    ("core/include/softstep/planted.h", "#include <nlohmann/json.hpp>\n"),
    ("core/include/softstep/planted.h", '#include "simd/dispatch.h"\n'),
    ("core/reference/planted.h", '#include "simd/dispatch.h"\n'),
    ("core/layer/planted.cpp", '#include "simd/kernels/attention.h"\n'),
    ("core/layer/planted.cpp", "#include <nlohmann/json.hpp>\n"),
    ("core/layer/planted.cpp", "#include <xsimd/xsimd.hpp>\n"),
    ("core/layer/planted.h", "#include <Eigen/Core>\n"),
    ("core/linalg/planted.h", "#include <Eigen/Core>\n"),
    ("core/threads/planted.h", '#include "core/losses/loss_terms.h"\n'),
    ("core/layer/planted.cpp", "#include <fmt/format.h>\n"),
    ("tools/planted.cpp", '#include "core/linalg/svd.h"\n'),
    ("tests/simd/planted.cpp", '#include "core/losses/loss_terms.h"\n'),
    ("tools/planted.cpp", '#include "simd/dispatch.h"\n'),
    ("tools/planted.cpp", '#include "core/layer/planted.h"\n'),
    ("tools/planted.cpp", '#include "../core/layer/planted.h"\n'),
    ("benchmarks/planted.cpp", "#include <xsimd/xsimd.hpp>\n"),
    ("tests/simd/planted.cpp", '#include "simd/kernels/attention.h"\n'),
    ("elsewhere/planted.cpp", "\n"),
]

if __name__ == "__main__":
    run_script(check, [(f"{file}: {text.strip()}", {file: text}) for file, text in PLANTED])
