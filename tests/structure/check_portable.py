#!/usr/bin/env python3
"""The tree names no package registry's host and no absolute path of one machine.

    check_portable.py SOURCE_DIR [--self-test]
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from structure import Violation, run_script, source_files  # noqa: E402

# Written in pieces, since this file is looked at too.
HOSTS = ["deb" + ".debian.org", "security" + ".debian.org", "ftp" + ".debian.org", "archive" + ".ubuntu.com",
         "ports" + ".ubuntu.com", "pypi" + ".org", "files." + "pythonhosted.org", "registry" + ".npmjs.org",
         "static" + ".crates.io", "proxy" + ".golang.org", "center" + ".conan.io", "artifactregistry" + "-"]
FORBIDDEN = [(re.compile(re.escape(host)), "names the host of a package registry") for host in HOSTS]
FORBIDDEN += [(re.compile(r"(?<![\w.}/~-])/" + folder + r"/\w"), "names an absolute path of one machine")
              for folder in ("work", "farm", "root", "home", "Users", "mnt")]


def check(root):
    for path in source_files(root):
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # pictures and data
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, why in FORBIDDEN:
                if pattern.search(line):
                    yield Violation(path.relative_to(root).as_posix(), number, why)


PLANTED = [
    ("a path of one machine", {"planted.md": "see /" + "work/planted\n"}),
    ("a home directory", {"tools/planted": "cd /" + "home/someone/softstep\n"}),
    ("root's home directory", {"cmake/planted.cmake": 'set(x "/' + 'root/x")\n'}),
    ("a registry", {"README.md": "from https://" + HOSTS[0] + "/x\n"}),
    ("another registry", {"planted.json": '"https://' + HOSTS[5] + '/x"\n'}),
]

if __name__ == "__main__":
    run_script(check, PLANTED)
