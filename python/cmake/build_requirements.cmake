# Headers that the library is compiled with: the distribution's where it has them, else those that PyPI packages carry, which are
# build requirements in pyproject.toml.

# softstep_folder_of(<module> <file> <out>): the folder <file> is in, below a place where Python looks for packages.
function(softstep_folder_of path out)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c
      "import pathlib, sys; print(next((p for p in sys.path if p and (pathlib.Path(p) / sys.argv[1]).exists()), ''))" ${path}
    OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE found)
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# softstep_package_of_headers(<package> <target> <version> <include folder>): a CMake package where there are headers alone.
function(softstep_package_of_headers package target version include)
  set(folder ${CMAKE_BINARY_DIR}/headers/${package})
  file(WRITE ${folder}/${package}Config.cmake
       "if(NOT TARGET ${target})\n  add_library(${target} INTERFACE IMPORTED)\n"
       "  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES \"${include}\")\nendif()\n")
  file(WRITE ${folder}/${package}ConfigVersion.cmake
       "set(PACKAGE_VERSION ${version})\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n")
  set(${package}_DIR ${folder} CACHE PATH "Headers of ${package} from a Python package" FORCE)
endfunction()

find_package(xsimd QUIET)
if(NOT xsimd_FOUND)
  softstep_folder_of(pythran/xsimd/xsimd.hpp place)
  if(place)
    file(READ ${place}/pythran/xsimd/config/xsimd_config.hpp text)
    foreach(part IN ITEMS MAJOR MINOR PATCH)
      string(REGEX MATCH "XSIMD_VERSION_${part} ([0-9]+)" _ "${text}")
      set(v_${part} ${CMAKE_MATCH_1})
    endforeach()
    softstep_package_of_headers(xsimd xsimd ${v_MAJOR}.${v_MINOR}.${v_PATCH} ${place}/pythran)
  endif()
endif()
find_package(Eigen3 3.4 QUIET NO_MODULE)
if(NOT Eigen3_FOUND)
  softstep_folder_of(cmeel.prefix/share/eigen3/cmake place)
  if(place)
    set(Eigen3_DIR ${place}/cmeel.prefix/share/eigen3/cmake CACHE PATH "Eigen from a Python package" FORCE)
  endif()
endif()
find_package(nlohmann_json 3.10 QUIET)
if(NOT nlohmann_json_FOUND)
  softstep_folder_of(nlohmann_json/include/nlohmann/json.hpp place)
  if(place)
    softstep_package_of_headers(nlohmann_json nlohmann_json::nlohmann_json 3.12 ${place}/nlohmann_json/include)
  endif()
endif()

foreach(package IN ITEMS xsimd Eigen3 nlohmann_json)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "softstep: no headers of ${package}. `pip install .` without --no-build-isolation brings them; on Debian and "
                        "Ubuntu tools/setup installs the distribution's.")
  endif()
endforeach()
