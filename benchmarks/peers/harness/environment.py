"""The machine, the environment of a fair measurement, and where things lie."""
import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
PEERS = ROOT / "benchmarks" / "peers"
BUILD = ROOT / "build" / "peers"
PYTHON = pathlib.Path(os.environ.get("SOFTSTEP_PEERS_PYTHON", BUILD / "venv" / "bin" / "python"))
PROGRAM = BUILD / "workers" / "softstep" / "tools" / "softstep"

# Settings that hold a library back (a kernel for another CPU, a thread count, a wait policy).
HINDERING = re.compile(r"(OPENBLAS|MKL|ATEN|OMP|GOMP|KMP|BLIS|BLAS|GOTO|NPY|NUMEXPR|XLA|JAX|TORCH|TORCHINDUCTOR|EIGEN|"
                       r"VECLIB|DNNL|ONEDNN|SOFTSTEP|NVPL)_")


def cleared() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not HINDERING.match(name) or name == "SOFTSTEP_PEERS_PYTHON"}


def cpus(threads: int) -> list[int]:
    """The last ones: the first serves the machine's interrupts."""
    return sorted(os.sched_getaffinity(0))[-threads:]


def for_threads(threads: int) -> dict[str, str]:
    environment = cleared()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(threads)
    # XLA has no count of threads: it takes the processors it may run on, which the worker is bound to.
    environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=" + ("true" if threads > 1 else "false")
    environment["JAX_PLATFORMS"] = "cpu"
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(BUILD / "torch_cache")
    return environment


def line_of(path: str, key: str) -> str:
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "unknown"


def output_of(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, str]:
    flags = line_of("/proc/cpuinfo", "flags").split()
    release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {
        "cpu": "{}, family {} model {}".format(*(line_of("/proc/cpuinfo", k) for k in ("model name", "cpu family", "model\t"))),
        "processors": str(os.cpu_count()),
        "vectors": "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else platform.machine(),
        "memory": line_of("/proc/meminfo", "MemTotal"),
        "huge pages": pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().strip(),
        "system": release.get("PRETTY_NAME", "").strip('"') + ", Linux " + platform.release(),
        "compiler": output_of("g++", "--version").splitlines()[0],
        "commit": output_of("git", "describe", "--always", "--dirty"),
    }


def enter() -> None:
    """Goes on in the Python that `setup` made, without the settings that hold a library back."""
    if not PYTHON.exists() or not PROGRAM.exists():
        sys.exit("compare: run benchmarks/peers/setup first")
    clean = {**cleared(), "SOFTSTEP_PEERS_PYTHON": str(PYTHON)}
    if clean != dict(os.environ):  # once: a new Python has just these
        os.execve(PYTHON, [str(PYTHON), "-B", *sys.argv], clean)
