#!/usr/bin/env python3
"""The library as others meet it; each program is compiled from the public headers, linked and run.

    check_package.py installed|shared|embedded --source DIR --build DIR --cmake CMAKE --compiler CXX ...

installed   install this build, use it through find_package and through pkg-config; the links of the installed texts lead somewhere;
            a project that brings its own rule, loss and model (consumer_own), with every warning an error on each compiler
            that is there; a number type that the library does not have is refused in a readable line
shared      the same from a library-only build with BUILD_SHARED_LIBS=ON that may find no test, benchmark or tool
            dependency; it shows what the headers mark, and nothing else; it is hardened
embedded    add_subdirectory without a build type: optimised all the same; brings no tests, benchmarks, tools or install rules, and
            may find none of what they need

The programs are consumer/main.cpp, consumer/c_program.c and, so that the manual stays true, the first ```cpp block of README.md.

The library is compiled once. Where this build is an optimised one, the other two are configured, their compile commands compared
with this one's, a few files compiled as they would be, and then this build's object files linked.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_exports  # noqa: E402
import check_hardening  # noqa: E402
import compilation  # noqa: E402

# Each uses a public template, or a function of float or double, with int.
WRONG_TYPES = {
    "batch": "softstep::BatchView<int> x;",
    "metric": "int a[4] = {}; double y = softstep::frobenius_norm(a);",
    "solver": "int a[4] = {}; signed char b[2] = {}; auto y = softstep::solve_linear_max_margin(a, b, 2);",
    "dataset": "softstep::DatasetParts<int> x;",
    "model": "softstep::AttentionModel<int>* x = nullptr;",
    "state": "softstep::TrainState<int> x;",
}
# What a user of the library alone need not have.
NOT_NEEDED = ["Catch2", "CLI11", "fmt", "Boost", "PkgConfig", "benchmark", "Python3"]


def run(*command, **options):
    command = [str(word) for word in command]
    print("$", " ".join(command), flush=True)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode != 0:
        print(result.stdout)
        sys.exit(f"failed with status {result.returncode}: {' '.join(command)}")
    return result.stdout


class Package:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.prefix = folder / "prefix"
        self.consumer = folder / "consumer"
        shutil.copytree(arguments.source / "tests/structure/consumer", self.consumer)
        self.write_readme_example()
        self.programs = sorted(path.stem for path in [*self.consumer.glob("*.cpp"), *self.consumer.glob("*.c")])

    def write_readme_example(self):
        readme = self.arguments.source / "README.md"
        if not readme.is_file():
            return
        block = re.search(r"^```cpp\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
        if not block:
            sys.exit("README.md has no ```cpp block: the embedding example is compiled from it")
        (self.consumer / "readme_example.cpp").write_text(block.group(1))

    def configure(self, source, build, *options):
        a = self.arguments
        command = [a.cmake, "-S", source, "-B", build, "-G", a.generator, f"-DCMAKE_CXX_COMPILER={a.compiler}",
                   f"-DCMAKE_MAKE_PROGRAM={a.make_program}", *options]
        if a.launcher:
            command.append(f"-DCMAKE_CXX_COMPILER_LAUNCHER={a.launcher}")
        run(*command)

    def build(self, build, *options):
        run(self.arguments.cmake, "--build", build, "-j", os.cpu_count() or 1, *options)

    def build_library_project(self, source, build, prefix, *options):
        """A project that compiles the library, from this build's object files if they are those that it would make."""
        a = self.arguments
        options = (f"-DCMAKE_CXX_FLAGS={a.cxx_flags}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *options,
                   *(f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in NOT_NEEDED))
        self.configure(source, build, *options)
        if a.build_type == "Release":
            different = list(compilation.differences(a.build, build, prefix))
            if different:
                sys.exit("\n".join(["the library is compiled otherwise than in this build:", *different]))
            compilation.compile_canaries(build, a.source, prefix)
            self.configure(source, build, *options, f"-DSOFTSTEP_OBJECTS={a.build}/softstep_objects.txt")
        self.build(build)

    def run_programs(self, folder, **options):
        for program in self.programs:
            # In a folder of its own: an example may write files.
            print(run(folder / program, cwd=self.folder, **options), end="")

    def check_find_package(self):
        build = self.folder / "find_package"
        version = re.findall(r"VERSION_(?:MAJOR|MINOR) (\d+)",
                             (self.arguments.source / "core/include/softstep/version.h").read_text())
        self.configure(self.consumer, build, f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Release",
                       f"-DSOFTSTEP_WANTED={version[0]}.{version[1]}")
        self.build(build)
        self.run_programs(build)
        self.check_c_without_cxx()
        # A range within the minor version is taken; before 1.0 no other can be.
        self.configure(self.consumer, self.folder / "range", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                       f"-DSOFTSTEP_WANTED={version[0]}.{version[1]}.0...<{version[0]}.{int(version[1]) + 1}")
        self.check_other_version_is_refused(int(version[0]), int(version[1]))

    def check_c_without_cxx(self):
        """The component c in a project that has no other language."""
        project = self.folder / "only_c"
        project.mkdir()
        shutil.copy(self.consumer / "c_program.c", project)
        (project / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(only_c LANGUAGES C)\n"
                                                "find_package(softstep REQUIRED COMPONENTS c)\nadd_executable(only_c c_program.c)\n"
                                                "target_link_libraries(only_c PRIVATE softstep::c m)\n")
        self.configure(project, project / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Release")
        self.build(project / "build")
        print(run(project / "build/only_c", cwd=self.folder), end="")

    def check_relocated(self):
        """A prefix that is moved works where it is then."""
        moved = self.prefix.parent / "moved"
        self.prefix.rename(moved)
        self.prefix = moved
        build = self.folder / "relocated"
        self.configure(self.consumer, build, f"-DCMAKE_PREFIX_PATH={moved}", "-DCMAKE_BUILD_TYPE=Release")
        self.build(build)
        self.run_programs(build)

    def check_other_version_is_refused(self, major, minor):
        a = self.arguments
        result = subprocess.run([a.cmake, "-S", self.consumer, "-B", self.folder / "wrong_version", "-G", a.generator,
                                 f"-DCMAKE_MAKE_PROGRAM={a.make_program}", f"-DCMAKE_CXX_COMPILER={a.compiler}",
                                 f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DSOFTSTEP_WANTED={major}.{minor + 1}"],
                                capture_output=True, text=True)
        if result.returncode == 0 or "compatible with requested version" not in result.stderr:
            print(result.stdout, result.stderr)
            sys.exit(f"find_package(softstep {major}.{minor + 1}) was not refused for its version")

    def check_pkg_config(self, shared):
        found = sorted(self.prefix.glob("**/pkgconfig/softstep.pc"))
        if len(found) != 1:
            sys.exit(f"expected one softstep.pc under the prefix, found {found}")
        environment = dict(os.environ, PKG_CONFIG_PATH=str(found[0].parent))
        flags = run("pkg-config", *([] if shared else ["--static"]), "--cflags", "--libs", "softstep",
                    env=environment).split()
        folder = self.folder / "pkg_config"
        folder.mkdir()
        for program in self.programs:
            source = self.consumer / f"{program}.cpp"
            if not source.is_file():  # C, linked as C++
                source = folder / f"{program}.o"
                run("cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", self.consumer / f"{program}.c", "-o",
                    source, *[flag for flag in flags if flag.startswith("-I")])
            run(self.arguments.compiler, "-std=c++20", source, "-o", folder / program, *flags)
        library_path = str(found[0].parent.parent)
        self.run_programs(folder, env=dict(os.environ, LD_LIBRARY_PATH=library_path))

    def check_other_library_is_refused(self, library):
        """The loader refuses a library of another binary face of C, by the versions of its symbols."""
        soname, = {path.name for path in library.parent.glob("libsoftstep.so.*")} - {library.name}
        tags = run("readelf", "-d", library)
        if f"[{soname}]" not in tags:
            sys.exit(f"{library.name} does not carry the name {soname}:\n{tags}")
        folder = self.folder / "other_library"
        folder.mkdir()
        names = sorted(check_exports.c_names(self.arguments.source))
        (folder / "other.c").write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in names))
        (folder / "other.map").write_text("SOFTSTEP_C_9999 { global: softstep_*; local: *; };\n")
        run("cc", "-shared", "-fPIC", folder / "other.c", "-o", folder / soname, f"-Wl,-soname,{soname}",
            f"-Wl,--version-script={folder / 'other.map'}")
        result = subprocess.run([self.folder / "pkg_config/c_program"], capture_output=True, text=True,
                                env=dict(os.environ, LD_LIBRARY_PATH=str(folder)))
        if result.returncode == 0 or "version `SOFTSTEP_C_" not in result.stderr:
            sys.exit(f"a library of another binary face was loaded: {result.stdout}{result.stderr}")
        print(result.stderr.strip())

    def check_own(self):
        """Someone else's rule, loss and model, from the installed headers alone."""
        a = self.arguments
        source = a.source / "tests/structure/consumer_own"
        build = self.folder / "consumer_own"
        self.configure(source, build, f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Release")
        self.build(build)
        print(run(build / "consumer_own", cwd=self.folder), end="")
        include, = {path.parent.parent for path in self.prefix.rglob("softstep/softstep.h")}
        flags = re.search(r"PRIVATE (-Wall[^)]*)\)", (source / "CMakeLists.txt").read_text()).group(1).split()
        others = {compiler for name in ("g++", "clang++", "clang++-14") if (compiler := shutil.which(name))}
        for compiler in sorted(others | {a.compiler}):
            for file in sorted(source.glob("*.cpp")):
                run(compiler, "-std=c++20", "-O1", *flags, "-I", include, "-c", file, "-o", self.folder / "own.o")
            self.check_wrong_types(compiler, include)

    def check_wrong_types(self, compiler, include):
        for name, use in {"right": "softstep::BatchView<double> x;", **WRONG_TYPES}.items():
            file = self.folder / f"wrong_{name}.cpp"
            file.write_text(f"#include <softstep/softstep.h>\nvoid use() {{ {use} }}\n")
            result = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", "-I", include, file], capture_output=True, text=True)
            names_it = re.search(r"NumberType|span<const double", result.stderr)
            if (result.returncode == 0) != (name == "right") or (name != "right" and not names_it):
                print(result.stderr)
                sys.exit(f"{compiler} does not say that int is neither float nor double: {use}")

    def check_links(self):
        """The texts that are installed link only to what is installed too."""
        texts = sorted(self.prefix.rglob("*.md"))
        if not any(path.name == "README.md" for path in texts):
            sys.exit("no README.md is installed")
        for path in texts:
            for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
                if not re.match(r"[a-z]+:", link) and not (path.parent / link.split("#")[0]).exists():
                    sys.exit(f"{path.relative_to(self.prefix)} links to {link}, which is not installed")

    def check_nothing_of_this_build_is_left(self):
        """An installed file that names the source or build folder works on no other machine."""
        for path in self.prefix.rglob("*"):
            if path.suffix in (".cmake", ".pc", ".h"):
                for folder in (self.arguments.source, self.arguments.build):
                    # The whole path: /softstep is not named by ${prefix}/softstepTargets.cmake.
                    if re.search(rf"(?<![\w.}}/-]){re.escape(str(folder))}(?![\w.-])", path.read_text()):
                        sys.exit(f"{path.relative_to(self.prefix)} names {folder}")


def installed(package):
    run(package.arguments.cmake, "--install", package.arguments.build, "--prefix", package.prefix)
    package.check_nothing_of_this_build_is_left()
    package.check_links()
    package.check_find_package()
    package.check_pkg_config(shared=False)
    package.check_own()
    package.check_relocated()


def shared(package):
    build = package.folder / "shared"
    package.build_library_project(package.arguments.source, build, "", "-DBUILD_SHARED_LIBS=ON", "-DCMAKE_BUILD_TYPE=Release",
                                  "-DSOFTSTEP_BUILD_TESTS=OFF", "-DSOFTSTEP_BUILD_TOOLS=OFF",
                                  "-DSOFTSTEP_BUILD_BENCHMARKS=OFF", f"-DCMAKE_INSTALL_PREFIX={package.prefix}")
    run(package.arguments.cmake, "--install", build)
    library, = {path.resolve() for path in package.prefix.rglob("libsoftstep.so*")}
    violations = (list(check_exports.unmarked(package.arguments.source)) +
                  list(check_exports.foreign_exports(package.arguments.source, package.arguments.nm, library)) +
                  list(check_exports.wrong_versions(package.arguments.source, package.arguments.nm, library)) +
                  [f"{library.name} {line}" for line in check_hardening.missing(library, is_program=False)])
    if violations:
        sys.exit("\n".join(violations))
    package.check_find_package()
    package.check_pkg_config(shared=True)
    package.check_other_library_is_refused(library)


def embedded(package):
    build = package.folder / "embedded"
    package.build_library_project(package.consumer, build, "softstep", f"-DSOFTSTEP_SOURCE={package.arguments.source}")
    package.run_programs(build)
    fetched, a = package.folder / "fetched", package.arguments
    # Release: this build's object files, which build_library_project has found to be those of an embedded one.
    objects = [f"-DSOFTSTEP_OBJECTS={a.build}/softstep_objects.txt"] if a.build_type == "Release" else []
    package.configure(package.consumer, fetched, f"-DSOFTSTEP_SOURCE={a.source}", "-DSOFTSTEP_BY_FETCHCONTENT=ON", *objects)
    if objects:
        package.build(fetched)
        package.run_programs(fetched)
    run(package.arguments.cmake, "--install", build, "--prefix", package.prefix)
    if package.prefix.exists() and any(path.is_file() for path in package.prefix.rglob("*")):
        sys.exit("embedding softstep made it install files of its own")


def main():
    ways = {"installed": installed, "shared": shared, "embedded": embedded}
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("way", choices=ways)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    for name in ("cmake", "generator", "make-program", "compiler", "nm"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--build-type", default="")
    parser.add_argument("--cxx-flags", default="")
    parser.add_argument("--launcher", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ways[arguments.way](Package(arguments, pathlib.Path(name)))
    print(f"{arguments.way}: good")


if __name__ == "__main__":
    main()
