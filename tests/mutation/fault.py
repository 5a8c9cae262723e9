"""A planted fault, and the list of them: one file of faults/ for each room."""
import dataclasses
import importlib.util
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Fault:
    name: str
    file: str
    text: str          # in the file exactly once
    replacement: str
    breaks: str        # what it does, in one sentence
    tests: tuple       # Catch2 specifications, the likeliest first
    equivalent: str = ""  # why no test can see it; empty: a test must
    room: str = ""


def all_faults():
    """The faults of every room, in the order of the files."""
    faults = []
    for path in sorted((HERE / "faults").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"faults_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, file, text, replacement, breaks, tests, *equivalent in module.FAULTS:
            faults.append(Fault(name, file, text, replacement, breaks, (*tests, *module.ROOM_TESTS),
                                equivalent[0] if equivalent else "", path.stem))
    return faults


def problems(root, faults):
    """(file, message) of what is wrong with the list against the tree: texts that are gone or no longer alone, names twice."""
    names = [fault.name for fault in faults]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "tests/mutation/faults", f"{name}: two faults have this name"
    for fault in faults:
        path = pathlib.Path(root) / fault.file
        found = path.read_text().count(fault.text) if path.is_file() else -1
        if found < 0:
            yield fault.file, f"{fault.name}: the file is not there"
        elif found != 1:
            yield fault.file, f"{fault.name}: its text is there {found} times (need once)"
        if fault.text == fault.replacement:
            yield fault.file, f"{fault.name}: changes nothing"
        if fault.file.startswith("core/reference/"):
            yield fault.file, f"{fault.name}: the reference is what the rest is judged by"
        if not fault.breaks or not fault.tests:
            yield fault.file, f"{fault.name}: says not what it breaks, or no test"
