"""Whether two builds compile the library alike: then the object files of one stand for those of the other."""
import json
import os
import pathlib
import shlex
import subprocess

# Options that say where, and whether warnings are errors; the code that comes out is the same.
NO_MATTER = {"-Werror", "-c"}
# Compiled for real all the same: the lists of headers that they need are made by the build.
CANARIES = {"core/step_rules/step_rules.cpp", "simd/one_isa.cpp"}


def commands(build, prefix=""):
    """{object file: its command} of the library in a build folder, where the project lies in its subfolder `prefix`."""
    out = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        object_file = (pathlib.Path(entry["directory"]) / words[words.index("-o") + 1]).resolve()
        name = os.path.relpath(object_file, build.resolve() / prefix)
        if name.startswith(("CMakeFiles/softstep_core.dir/", "CMakeFiles/softstep_isa_")):
            out[name] = (entry, words)
    return out


def essence(words, build, prefix):
    """The options without the folder of the build. Their order matters only among optimisation levels, of which the last counts."""
    words = words[1:]
    at = words.index("-o")
    words = words[:at] + words[at + 2:]
    levels = [word for word in words if word.startswith("-O")]
    place = str(build.resolve() / prefix) if prefix else str(build.resolve())
    return sorted({word.replace(place, "BUILD") for word in words if word not in NO_MATTER and word not in levels}
                  | set(levels[-1:]))


def differences(one, other, other_prefix=""):
    """What the second build would compile otherwise, as lines to print."""
    first, second = commands(one), commands(other, other_prefix)
    if not first:
        yield f"{one}: compiles nothing of the library"
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            yield f"{name}: only compiled in {one if name in first else other}"
            continue
        a, b = (essence(words, build, prefix)
                for (_, words), build, prefix in ((first[name], one, ""), (second[name], other, other_prefix)))
        if a != b:
            yield f"{name}: {sorted(set(a) - set(b))} and not {sorted(set(b) - set(a))}"


def compile_canaries(build, source, prefix=""):
    """Compiles some files as that build would, without code generation; dies where one does not compile."""
    done = set()
    for entry, words in commands(build, prefix).values():
        name = pathlib.Path(entry["file"]).resolve().relative_to(source.resolve()).as_posix()
        if name not in CANARIES or name in done:
            continue
        done.add(name)
        at = words.index("-o")
        subprocess.run(words[:at] + words[at + 2:] + ["-fsyntax-only"], cwd=entry["directory"], check=True)
    if done != CANARIES:
        raise SystemExit(f"{build}: does not compile {sorted(CANARIES - done)}")
