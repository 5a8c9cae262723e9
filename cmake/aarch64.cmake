# Toolchain: cross-compile for 64-bit Arm with the distribution's compiler; header-only dependencies come from the host.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Debian 12 files xsimd, headers though it is, under the host's processor, where a cross build does not look.
file(GLOB host_xsimd /usr/lib/*-linux-gnu/cmake/xsimd)
if(host_xsimd)
  list(GET host_xsimd 0 host_xsimd)
  set(xsimd_DIR ${host_xsimd} CACHE PATH "xsimd of the host")
endif()
