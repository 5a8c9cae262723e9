"""Conan 2: conan create packaging/conan"""
import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load


class Softstep(ConanFile):
    name = "softstep"
    description = "Softmax-attention kernels and a trainer that stay true to the end"
    license = "BSD-3-Clause"
    package_type = "library"
    settings = "os", "compiler", "build_type", "arch"
    # system_dependencies: xsimd, nlohmann-json and Eigen are the distribution's and no packages of Conan.
    options = {"shared": [True, False], "system_dependencies": [True, False]}
    default_options = {"shared": False, "system_dependencies": False}

    def set_version(self):
        top = os.path.join(self.recipe_folder, "..", "..")
        if not os.path.isfile(os.path.join(top, "CMakeLists.txt")):
            return  # a copy of the recipe in the cache, which knows its version
        header = load(self, os.path.join(top, "core/include/softstep/version.h"))
        self.version = ".".join(re.findall(r"define SOFTSTEP_VERSION_\w+ (\d+)", header))

    def export_sources(self):
        top = os.path.join(self.recipe_folder, "..", "..")
        for pattern in ("CMakeLists.txt", "cmake/*", "core/*", "simd/*", "packaging/*", "docs/*.md", "docs/installed/*", "LICENSE",
                        "CHANGELOG.md"):
            copy(self, pattern, top, self.export_sources_folder)

    def requirements(self):
        if not self.options.system_dependencies:
            self.requires("xsimd/[>=8.1]")
            self.requires("nlohmann_json/[>=3.10]")
            self.requires("eigen/[>=3.4 <4]")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update({"SOFTSTEP_BUILD_TOOLS": False, "SOFTSTEP_BUILD_TESTS": False, "SOFTSTEP_INSTALL": True})
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        # The package's own softstepConfig.cmake serves its users.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "softstep")]
        self.cpp_info.libs = ["softstep"]
