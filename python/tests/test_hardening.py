"""The extension, and the program that comes with it, are as hardened as those of the C++ build."""

import pathlib
import shutil
import subprocess
import sys

import pytest

import softstep._core

CHECK = pathlib.Path(__file__).parents[2] / "tests" / "structure" / "check_hardening.py"
EXTENSION = pathlib.Path(softstep._core.__file__)


@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("readelf"), reason="nothing to read the files with")
@pytest.mark.skipif(b"__asan_init" in EXTENSION.read_bytes(), reason="sanitizers check more, in their own way")
def test_what_is_loaded_is_hardened():
    command = [sys.executable, "-B", CHECK, "--library", EXTENSION]
    program = EXTENSION.parent / "bin" / "softstep"
    if program.exists():
        command += ["--program", program]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
