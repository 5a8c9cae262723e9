# Toolchain: cross-compile for 64-bit Arm with the distribution's compiler; header-only dependencies come from the host.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Debian 12 files xsimd and fmt, of which only headers are used, under the host's processor, where a cross build does
# not look.
foreach(package IN ITEMS xsimd fmt)
  file(GLOB host_package /usr/lib/*-linux-gnu/cmake/${package})
  if(host_package)
    list(GET host_package 0 host_package)
    set(${package}_DIR ${host_package} CACHE PATH "${package} of the host")
  endif()
endforeach()
