# Toolchain for 64-bit Arm on Debian: g++-aarch64-linux-gnu builds, qemu-aarch64 runs. tools/test_neon.sh uses it and
# fills INGOT_AARCH64_ROOT with Debian's arm64 libraries.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(INGOT_AARCH64_ROOT "$ENV{INGOT_AARCH64_ROOT}")
set(CMAKE_FIND_ROOT_PATH ${INGOT_AARCH64_ROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${INGOT_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${INGOT_AARCH64_ROOT})
add_link_options(-Wl,-rpath-link,${INGOT_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu)

set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=${INGOT_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu)
