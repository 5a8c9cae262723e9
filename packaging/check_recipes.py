#!/usr/bin/env python3
"""The Conan recipe and the vcpkg port, run to the installed package and a program that uses it.

    check_recipes.py --build build/dev --work build/packaging --conan build/packaging/venv/bin/conan [--whole] [--self-test]

conan   `conan create packaging/conan`, static and shared, with the distribution's xsimd, nlohmann-json and Eigen and no remote; its
        test package is built and run
vcpkg   the manifests hold together, and portfile.cmake is run with stand-ins for vcpkg's functions (packaging/vcpkg/run_portfile.cmake),
        as vcpkg's registry is needed for its own; a program is built against what it installs

Both link the object files of --build, which the tests of the package hold to be those that they would compile; with --whole Conan
compiles its own, twice, which takes ten minutes.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

from commands import Fault, run

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent


def conan(program, work, build):
    objects = ["-c", "tools.cmake.cmaketoolchain:extra_variables=" + repr({"SOFTSTEP_OBJECTS": f"{build}/softstep_objects.txt"})] if build else []
    home = work / "conan-home"
    environment = dict(os.environ, CONAN_HOME=str(home))
    if not (home / "profiles/default").exists():
        run(program, "profile", "detect", env=environment)
    for shared in ("False", "True"):
        said = run(program, "create", HERE / "conan", "--no-remote", "-s", "build_type=Release", "-s", "compiler.cppstd=20",
                   "-o", "softstep/*:system_dependencies=True", "-o", f"softstep/*:shared={shared}", *objects, env=environment)
        if "test package: ran" not in said:
            raise Fault(f"conan create did not run the test package:\n{said[-2000:]}")
        print(f"conan: created and used, shared={shared}", flush=True)


def names_of(dependencies):
    return {d if isinstance(d, str) else d["name"] for d in dependencies if isinstance(d, str) or not d.get("host")}


def manifest_faults(port, project, version):
    """What is wrong with the port's vcpkg.json beside the project's own."""
    for key in ("name", "version", "description", "license", "dependencies", "features"):
        if key not in port:
            yield f"the port's manifest has no {key}"
            return
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", port["name"]):
        yield f"{port['name']} is no name of a port"
    for manifest, what in ((port, "the port"), (project, "vcpkg.json")):
        if manifest["version"] != version:
            yield f"{what} has version {manifest['version']}, softstep/version.h {version}"
    if names_of(port["dependencies"]) != names_of(project["dependencies"]):
        yield "the port and vcpkg.json need other packages"
    for name, feature in port["features"].items():
        if names_of(feature["dependencies"]) != names_of(project["features"].get(name, {"dependencies": []})["dependencies"]):
            yield f"the feature {name} needs other packages in the port and in vcpkg.json"
    if not {"vcpkg-cmake", "vcpkg-cmake-config"} <= {d["name"] for d in port["dependencies"] if isinstance(d, dict) and d.get("host")}:
        yield "the portfile uses functions of vcpkg-cmake and vcpkg-cmake-config, which the port does not name as host dependencies"


def manifests():
    header = (TOP / "core/include/softstep/version.h").read_text()
    version = ".".join(re.findall(r"define SOFTSTEP_VERSION_\w+ (\d+)", header))
    return json.loads((HERE / "vcpkg/softstep/vcpkg.json").read_text()), json.loads((TOP / "vcpkg.json").read_text()), version


def portfile(work, build, features, file=None):
    objects = [f"-DOBJECTS={build}/softstep_objects.txt"] if build else []
    run("cmake", f"-DWORK={work}", f"-DFEATURES={features}", *objects, *([f"-DPORTFILE={file}"] if file else []),
        "-P", HERE / "vcpkg/run_portfile.cmake")


def vcpkg(work, build):
    faults = list(manifest_faults(*manifests()))
    if faults:
        raise Fault("\n".join(faults))
    place = work / "vcpkg"
    portfile(place, build, "tools")
    if "softstep" not in run(place / "packages/bin/softstep", "--version"):
        raise Fault("the program of the port says no version")
    consumer = work / "vcpkg-consumer"
    shutil.rmtree(consumer, ignore_errors=True)
    run("cmake", "-S", HERE / "conan/test_package", "-B", consumer, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_PREFIX_PATH={place / 'packages'}")
    run("cmake", "--build", consumer)
    run(consumer / "test")
    print("vcpkg: the port installs the library and the program, and a program uses it", flush=True)


def self_test(work):
    port, project, version = manifests()
    missed = 0

    def judged(what, seen, wanted):
        nonlocal missed
        missed += bool(seen) != wanted
        print(f"{'MISSED' if bool(seen) != wanted else 'seen  ' if seen else 'passed'} {what}", flush=True)

    judged("nothing", list(manifest_faults(port, project, version)), False)
    judged("another version", list(manifest_faults(port, project, "9.9.9")), True)
    judged("a port without a dependency", list(manifest_faults({**port, "dependencies": port["dependencies"][1:]}, project, version)), True)
    judged("a port without helpers", list(manifest_faults(
        {**port, "dependencies": [d for d in port["dependencies"] if isinstance(d, str)]}, project, version)), True)
    judged("a port without a licence", list(manifest_faults(
        {key: value for key, value in port.items() if key != "license"}, project, version)), True)
    text = (HERE / "vcpkg/softstep/portfile.cmake").read_text()
    for what, old, new in (("an argument that vcpkg does not have", 'SOURCE_PATH "${SOURCE_PATH}" OPTIONS', 'SOURCE "${SOURCE_PATH}" OPTIONS'),
                           ("sources that are not there", "../../..", "../.."),
                           ("a function that vcpkg does not have", "vcpkg_fixup_pkgconfig", "vcpkg_fix_pkgconfig")):
        if old not in text:
            sys.exit(f"check_recipes: portfile.cmake has no {old!r} to plant a fault at")
        with tempfile.TemporaryDirectory() as place:
            # As far below a folder with the sources as the port is, and with nothing to compile there.
            top = pathlib.Path(place)
            file = top / "packaging/vcpkg/softstep/portfile.cmake"
            file.parent.mkdir(parents=True)
            file.write_text(text.replace(old, new))
            (top / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(empty LANGUAGES NONE)\ninclude(CMakePackageConfigHelpers)\n"
                                                "install(FILES a DESTINATION lib/cmake/softstep RENAME softstepConfig.cmake)\n"
                                                "install(FILES a DESTINATION lib/cmake/softstep RENAME softstepTargets.cmake)\n"
                                                "install(FILES a DESTINATION lib/pkgconfig RENAME softstep.pc)\n")
            for name in ("a", "LICENSE"):
                (top / name).write_text("")
            try:
                portfile(top / "work", None, "", file)
                seen = False
            except Fault:
                seen = True
            judged(what, seen, True)
            if not seen:
                continue
            file.write_text(text)
            try:
                portfile(top / "work", None, "", file)
            except Fault as fault:
                judged(f"nothing, beside '{what}': {fault}", True, False)
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("build", "work", "conan"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    work, build = arguments.work.resolve(), arguments.build.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if arguments.self_test:
        return 0 if self_test(work) else 1
    failed = 0
    for what in (lambda: vcpkg(work, build), lambda: conan(arguments.conan.resolve(), work, None if arguments.whole else build)):
        try:
            what()
        except Fault as fault:
            failed += 1
            print(fault)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
