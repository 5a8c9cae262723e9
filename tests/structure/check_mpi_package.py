#!/usr/bin/env python3
"""softstep::mpi as others meet it: installed, found, compiled and run on two ranks.

    check_mpi_package.py --source DIR --build DIR --cmake CMAKE --generator NAME --make-program NINJA --compiler CXX --mpicc MPICC
                         --mpicxx MPICXX --launch "mpiexec ..."

The programs are consumer_mpi/c_program.c and main.cpp. CMake finds the component mpi; the MPI's own wrappers of the compiler take what
pkg-config says of softstep_mpi. With --plant the program in C has a wrong bit on one rank and must say so.
"""
import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

RANKS = 2


def run(*command, code=0, **options):
    command = [str(word) for word in command]
    print("$", " ".join(command), flush=True)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, **options)
    if result.returncode != code:
        print(result.stdout)
        sys.exit(f"failed with status {result.returncode}, not {code}: {' '.join(command)}")
    return result.stdout


def run_ranks(launch, program, *arguments, same=True):
    said = run(*launch, "-n", RANKS, program, *arguments, code=0 if same else 1)
    wanted = f"{program.name}: {RANKS} ranks, the weights of one process: {'yes' if same else 'no'}"
    if wanted not in said:
        sys.exit(f"{said}\nit should have said: {wanted}")
    print(wanted)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("source", "build"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    for name in ("cmake", "generator", "make-program", "compiler", "mpicc", "mpicxx", "launch"):
        parser.add_argument(f"--{name}", required=True)
    a = parser.parse_args()
    launch = shlex.split(a.launch)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prefix, consumer = folder / "prefix", folder / "consumer"
        run(a.cmake, "--install", a.build, "--prefix", prefix, "--component", "development")
        shutil.copytree(a.source / "tests/structure/consumer_mpi", consumer)

        found = folder / "find_package"
        run(a.cmake, "-S", consumer, "-B", found, "-G", a.generator, f"-DCMAKE_MAKE_PROGRAM={a.make_program}",
            f"-DCMAKE_CXX_COMPILER={a.compiler}", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release",
            f"-DMPI_C_COMPILER={a.mpicc}", f"-DMPI_CXX_COMPILER={a.mpicxx}")
        run(a.cmake, "--build", found)

        made = folder / "pkg_config"
        made.mkdir()
        file, = prefix.rglob("softstep_mpi.pc")
        flags = run("pkg-config", "--static", "--cflags", "--libs", "softstep_mpi", env=dict(os.environ, PKG_CONFIG_PATH=str(file.parent)))
        flags = flags.split()
        warnings = ["-Wall", "-Wextra", "-Werror"]
        # A static library of C++ in a project of C: its run-time library is named by whoever links.
        run(a.mpicc, "-std=c99", *warnings, consumer / "c_program.c", "-o", made / "c_program", *flags, "-lstdc++", "-lm")
        run(a.mpicxx, "-std=c++20", *warnings, consumer / "main.cpp", "-o", made / "main", *flags)

        for way in (found, made):
            run_ranks(launch, way / "c_program")
            run_ranks(launch, way / "c_program", "--plant", same=False)
            run_ranks(launch, way / "main")
    print("mpi: good")


if __name__ == "__main__":
    main()
