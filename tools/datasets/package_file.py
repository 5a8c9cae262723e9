"""Files that Python packages bring along, found without importing the package: nothing is downloaded."""
import importlib.util
import os
import sys

from command import BadInput
from python import start_elsewhere


def package_file(module, distribution, option, *names):
    """The path of a file of the package. Starts the command anew under the next Python where this one has no such package."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        start_elsewhere()
        raise BadInput(option, f"missing, and {distribution} is not installed for {sys.executable} (it brings {names[-1]}; or set "
                               "SOFTSTEP_PYTHON to a Python that has it)")
    path = os.path.join(list(spec.submodule_search_locations)[0], *names)
    if not os.path.isfile(path):
        raise BadInput(option, f"missing, and this {distribution} brings no {os.path.join(*names)}")
    return path
