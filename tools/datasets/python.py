"""A Python that has what is needed: this one, else SOFTSTEP_PYTHON, else the distribution's (which tools/setup provides)."""
import importlib.util
import os
import sys


def need(*modules):
    """Starts the command anew under the next Python if one of the modules is missing here."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return
    tried = os.environ.get("SOFTSTEP_PYTHONS_TRIED", "").split(":")
    for python in (os.environ.get("SOFTSTEP_PYTHON"), "/usr/bin/python3"):
        if python and os.access(python, os.X_OK) and python not in tried + [sys.executable]:
            os.environ["SOFTSTEP_PYTHONS_TRIED"] = ":".join(tried + [sys.executable, python])
            os.execv(python, [python, "-B"] + sys.argv)
    command = os.path.basename(sys.argv[0])
    sys.exit(f"{command}: {missing[0]}: cannot be imported by {sys.executable} (see tools/setup, or set SOFTSTEP_PYTHON)")
