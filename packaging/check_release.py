#!/usr/bin/env python3
"""A folder that tools/release has made, as those who take it meet it.

    check_release.py --release DIR --work DIR --source DIR [--self-test]

sums     SHA256SUMS names every file, and the sums are right
parts    the list of parts is of this version and names what is compiled in
sources  the archive holds what the build needs
wheel    in an empty virtual environment the package and the program in it say their version
debian   installed by dpkg into a root of its own, beside this machine's packages: a program is built against them with CMake and
         pkg-config and run, the program softstep works, and after their removal no file is left
What is not in the folder (tools/release --without) is left out.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tarfile

from commands import Fault, run

PARTS = {"xsimd", "eigen", "nlohmann-json", "cli11", "fmt"}
NEEDED = ("CMakeLists.txt", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "tools/check", "tests/CMakeLists.txt")
DPKG = pathlib.Path("/var/lib/dpkg")


def the_one(folder, pattern):
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise Fault(f"{len(found)} files {pattern}, not one")
    return found[0]


def version_of(release):
    return the_one(release, "softstep-*.cdx.json").name.removeprefix("softstep-").removesuffix(".cdx.json")


def check_sums(release):
    lines = (release / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    here = {path.name for path in release.iterdir()} - {"SHA256SUMS"}
    if here != set(sums):
        raise Fault(f"SHA256SUMS and the folder differ in {sorted(here ^ set(sums))}")
    for name, digest in sums.items():
        if hashlib.sha256((release / name).read_bytes()).hexdigest() != digest:
            raise Fault(f"{name} has another sum")


def check_parts(release):
    bom = json.loads(the_one(release, "softstep-*.cdx.json").read_text())
    if bom["metadata"]["component"]["version"] != version_of(release):
        raise Fault("the list of parts is of another version")
    wanted = PARTS | ({"nanobind"} if list(release.glob("*.whl")) else set())
    found = {part["name"] for part in bom["components"] if part.get("version")}
    if not wanted <= found:
        raise Fault(f"the list of parts lacks {sorted(wanted - found)}")


def check_sources(release):
    version = version_of(release)
    with tarfile.open(release / f"softstep-{version}-source.tar.gz") as archive:
        names = set(archive.getnames())
    for name in NEEDED:
        if f"softstep-{version}/{name}" not in names:
            raise Fault(f"the source archive lacks {name}")


def check_wheel(release, work):
    if not list(release.glob("*.whl")):
        return
    version, wheel, place = version_of(release), the_one(release, "*.whl"), work / "wheel"
    shutil.rmtree(place, ignore_errors=True)
    run(sys.executable, "-m", "venv", place)
    run(place / "bin/pip", "install", "--disable-pip-version-check", wheel)
    said = run(place / "bin/python", "-c", "import softstep; print(softstep.__version__)", cwd=work)
    if said.strip() != version:
        raise Fault(f"the wheel says version {said.strip()}")
    if version not in run(place / "bin/softstep", "--version", cwd=work):
        raise Fault("the program of the wheel says another version")


class Root:
    """A root folder with a data base of packages that says what is installed on this machine."""

    def __init__(self, place):
        shutil.rmtree(place, ignore_errors=True)
        self.place, self.data = place, place / "var/lib/dpkg"
        for folder in ("info", "updates", "triggers"):
            (self.data / folder).mkdir(parents=True)
        shutil.copy(DPKG / "status", self.data)
        for path in DPKG.glob("info/*.list"):
            shutil.copy(path, self.data / "info")

    def dpkg(self, *words):
        # Scripts of the packages run without chroot: there is no shell in this root.
        return run("dpkg", f"--root={self.place}", "--force-not-root", "--force-script-chrootless", *words,
                   env=dict(os.environ, LC_ALL="C", PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin"))

    def files(self):
        return {path.relative_to(self.place).as_posix() for path in self.place.rglob("*")
                if not path.is_relative_to(self.data) and (path.is_symlink() or not path.is_dir())}


def check_use(root, source, work, version):
    usr, build, consumer = root / "usr", work / "consumer-build", work / "consumer"
    for folder in (build, consumer):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source / "tests/structure/consumer", consumer)
    library = the_one(usr, "lib/**/libsoftstep.so").parent
    environment = dict(os.environ, LD_LIBRARY_PATH=str(library), PKG_CONFIG_PATH=str(library / "pkgconfig"))
    print(run(usr / "bin/softstep", "--version", env=environment).strip())
    if version not in run(usr / "bin/softstep", "--version", env=environment):
        raise Fault("the program says another version")
    run(usr / "bin/softstep", "generate", "--samples", "4", "--tokens", "3", "--dim", "8", "--out", work / "data.safetensors",
        env=environment)
    run(usr / "bin/softstep", "solve", "--data", work / "data.safetensors", env=environment)
    run("cmake", "-S", consumer, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={usr}",
        f"-DSOFTSTEP_WANTED={version}")
    if f"softstep_DIR:PATH={library}/cmake/softstep" not in (build / "CMakeCache.txt").read_text():
        raise Fault("CMake found another softstep")
    run("cmake", "--build", build)
    run(build / "main", cwd=work, env=environment)
    run(build / "c_program", cwd=work, env=environment)
    flags = run("pkg-config", "--cflags", "--libs", "softstep", env=environment).split()
    run("c++", "-std=c++20", consumer / "main.cpp", "-o", work / "by_pkg_config", *flags)
    run(work / "by_pkg_config", cwd=work, env=environment)


def check_debian(release, work, source, use=True):
    debs = sorted(release.glob("*.deb"))
    if not debs:
        return
    root = Root(work / "root")
    names = [run("dpkg-deb", "--field", deb, "Package").strip() for deb in debs]
    before = root.files()
    root.dpkg("--install", *debs)
    there = root.files()
    for name in names:
        if f"usr/share/doc/{name}/copyright" not in there:
            raise Fault(f"{name} has no copyright")
    for needed in ("usr/share/man/man1/softstep.1", "usr/share/bash-completion/completions/softstep", "usr/bin/softstep"):
        if needed not in there:
            raise Fault(f"the packages have no {needed}")
    if use:
        check_use(root.place, source, work, version_of(release))
    root.dpkg("--purge", *names)
    left = root.files() - before
    if left:
        raise Fault(f"left behind: {sorted(left)}")
    print(f"dpkg: {', '.join(names)}: {len(there - before)} files installed, none left")


def self_test(release, work):
    """Each fault, planted in a copy, must be found."""
    copy = work / "planted"

    def script(planted):
        """A package whose script leaves a file behind."""
        deb, place = the_one(planted, "softstep_*.deb"), work / "repacked"
        shutil.rmtree(place, ignore_errors=True)
        run("dpkg-deb", "--raw-extract", deb, place)
        file = place / "DEBIAN/postinst"
        file.write_text("#!/bin/sh\ntouch \"$DPKG_ROOT/usr/share/left\"\n")
        file.chmod(0o755)
        run("dpkg-deb", "--root-owner-group", "--build", place, deb)

    def edit(name, old, new):
        def change(planted):
            path = the_one(planted, name)
            text = path.read_text()
            if old not in text:
                sys.exit(f"check_release: no {old} in {path.name}")
            path.write_text(text.replace(old, new))
        return change

    def debian(planted):
        check_debian(planted, work, None, use=False)

    faults = [
        ("nothing", check_sums, lambda planted: None),
        ("a file with another sum", check_sums, edit("softstep-*.cdx.json", "xsimd", "ximd")),
        ("a file that has no sum", check_sums, lambda planted: (planted / "more").write_text("")),
        ("a part that is not named", check_parts, edit("softstep-*.cdx.json", '"name": "xsimd"', '"name": "other"')),
        ("sources that are no archive of them", check_sources, lambda planted: shutil.move(
            the_one(planted, "softstep-*.cdx.json"), planted / "softstep-9.9.9.cdx.json")),
    ]
    if list(release.glob("*.deb")):
        faults += [("nothing, of the packages", debian, lambda planted: None),
                   ("a package that leaves a file behind", debian, script),
                   ("a package without the library that it needs", debian,
                    lambda planted: the_one(planted, "libsoftstep[0-9]*.deb").unlink())]
    missed = 0
    for what, check, plant in faults:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(release, copy)
        plant(copy)
        try:
            check(copy)
            seen = False
        except (Fault, OSError) as fault:
            seen = True
            if what.startswith("nothing"):
                print(fault)
        good = seen != what.startswith("nothing")
        missed += not good
        print(f"{'MISSED' if not good else 'seen  ' if seen else 'passed'} {what}", flush=True)
    shutil.rmtree(copy, ignore_errors=True)
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("release", "work", "source"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    release, work, source = arguments.release.resolve(), arguments.work.resolve(), arguments.source.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if arguments.self_test:
        return 0 if self_test(release, work) else 1
    try:
        check_sums(release)
        check_parts(release)
        check_sources(release)
        check_wheel(release, work)
        check_debian(release, work, source)
    except Fault as fault:
        sys.exit(f"check_release: {fault}")
    print("check_release: good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
