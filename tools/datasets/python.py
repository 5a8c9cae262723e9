"""A Python that has what is needed: this one, else SOFTSTEP_PYTHON, else the distribution's (which tools/setup provides).

The package safetensors may lie in build/python: tools/setup puts it there where the distribution has none.
"""
import importlib.util
import os
import sys

ADDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "python")
if os.path.isdir(ADDED):
    sys.path.append(os.path.normpath(ADDED))


def start_elsewhere():
    """Starts the command anew under the next Python; returns where there is none left."""
    tried = os.environ.get("SOFTSTEP_PYTHONS_TRIED", "").split(":")
    for python in (os.environ.get("SOFTSTEP_PYTHON"), "/usr/bin/python3"):
        if python and os.access(python, os.X_OK) and python not in tried + [sys.executable]:
            os.environ["SOFTSTEP_PYTHONS_TRIED"] = ":".join(tried + [sys.executable, python])
            os.execv(python, [python, "-B"] + sys.argv)


def need(*modules):
    """Starts the command anew under the next Python if one of the modules is missing here."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return
    start_elsewhere()
    command = os.path.basename(sys.argv[0])
    print(f"{command}: {missing[0]}: cannot be imported by {sys.executable} (see tools/setup, or set SOFTSTEP_PYTHON)",
          file=sys.stderr)
    sys.exit(2)
