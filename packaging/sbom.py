#!/usr/bin/env python3
"""The list of parts (SBOM) of a release, as CycloneDX 1.6 in JSON, held against its schema.

    sbom.py --version V --build DIR [--wheel-python] --out FILE

DIR/softstep_parts.txt is what CMake found for the build that was packed: lines of name, version, and what it went into. With
--wheel-python, the versions of the packages that the wheel was built with are those of the Python that runs this. The file depends
on these and on SOURCE_DATE_EPOCH alone.
"""
import argparse
import datetime
import importlib.metadata
import os
import pathlib
import sys
import uuid

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.model import Property
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

# Licences as their projects state them. All but fmt are headers, which are compiled in.
LICENSES = {"xsimd": "BSD-3-Clause", "eigen": "MPL-2.0", "nlohmann-json": "MIT", "cli11": "BSD-3-Clause", "fmt": "MIT",
            "nanobind": "BSD-3-Clause", "numpy": "BSD-3-Clause"}


def part(name, version, into, kind="generic"):
    of = LICENSES.get(name)
    compiler = into == "compiler"
    return Component(
        name=name, version=version, type=ComponentType.APPLICATION if compiler else ComponentType.LIBRARY,
        bom_ref=f"{name}@{version}", scope=ComponentScope.EXCLUDED if compiler else ComponentScope.REQUIRED,
        licenses=[DisjunctiveLicense(id=of)] if of else [], properties=[Property(name="softstep:part-of", value=into)],
        purl=PackageURL(type=kind, name=name.lower(), version=version))


def parts_of(text):
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) != 3 or not all(words):
            sys.exit(f"sbom: '{line}' is not name, version and what it went into")
        yield part(*words)


def bom_of(version, parts, seconds):
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"softstep {version} {seconds}"))
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    bom.metadata.component = Component(name="softstep", version=version, type=ComponentType.LIBRARY, bom_ref="softstep",
                                       licenses=[DisjunctiveLicense(id="BSD-3-Clause")],
                                       purl=PackageURL(type="generic", name="softstep", version=version))
    for one in parts:
        bom.components.add(one)
    bom.register_dependency(bom.metadata.component, list(bom.components))
    return bom


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--version", required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--wheel-python", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    parts = list(parts_of((arguments.build / "softstep_parts.txt").read_text()))
    if arguments.wheel_python:
        parts.append(part("nanobind", importlib.metadata.version("nanobind"), "wheel", "pypi"))
    text = JsonV1Dot6(bom_of(arguments.version, parts, int(os.environ["SOURCE_DATE_EPOCH"]))).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        sys.exit(f"sbom: not CycloneDX 1.6: {error}")
    arguments.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
