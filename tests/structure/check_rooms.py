#!/usr/bin/env python3
"""CONTRIBUTING's table of rooms names every folder of the library and of the program, and no other.

    check_rooms.py SOURCE_DIR [--self-test]
"""
import pathlib
import re
import sys
import tempfile

HOUSES = ("simd", "core", "tools")
NOT_ROOMS = {"core/include"}  # a way to the room inside


def rooms_of_table(text):
    """The folders that the first column of the table under "The rooms" names."""
    section = text.split("## The rooms", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+/)`", row)}


def folders(root):
    """Folders with files of their own below the houses, as paths from the root."""
    found = set()
    for house in HOUSES:
        for path in [root / house, *(root / house).rglob("*")]:
            name = path.relative_to(root).as_posix()
            if path.is_dir() and path.name != "__pycache__" and name not in NOT_ROOMS:
                if any(child.is_file() for child in path.iterdir()):
                    found.add(name)
    return found


def violations(root):
    table, real = rooms_of_table((root / "CONTRIBUTING.md").read_text()), folders(root)
    out = [f"CONTRIBUTING.md: the table of rooms does not name {name}/" for name in sorted(real - table)]
    return out + [f"CONTRIBUTING.md: the table of rooms names {name}/, which is not there"
                  for name in sorted(table - real)
                  if name.split("/")[0] in HOUSES and name not in NOT_ROOMS and name != "core"]


def self_test(root):
    """A folder that is not named, and a name without a folder, must both be found."""
    text = (root / "CONTRIBUTING.md").read_text()
    with tempfile.TemporaryDirectory() as place:
        copy = pathlib.Path(place)
        for name in folders(root):
            (copy / name).mkdir(parents=True, exist_ok=True)
            (copy / name / "file").touch()
        (copy / "CONTRIBUTING.md").write_text(text)
        assert violations(copy) == [], violations(copy)
        (copy / "core/attic").mkdir()
        (copy / "core/attic/file").touch()
        assert len(violations(copy)) == 1, "a folder that is not named was not found"
        (copy / "core/attic/file").unlink()
        (copy / "CONTRIBUTING.md").write_text(text.replace("| `core/data/` |", "| `core/date/` |"))
        assert len(violations(copy)) == 2, "a wrong name was not found"
    print("self-test: 2 of 2 planted faults found")


def main():
    root = pathlib.Path(sys.argv[1])
    if "--self-test" in sys.argv[2:]:
        self_test(root)
        return 0
    found = violations(root)
    for line in found:
        print(line)
    print(f"check_rooms: {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
