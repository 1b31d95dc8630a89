#!/bin/sh
# Builds the tests for 64-bit Arm and runs them under qemu-aarch64: the NEON kernels on a machine without any.
#
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   tools/test_neon.sh                    op, format, graph and sampler tests
#   tools/test_neon.sh test_ops --gtest_filter='*attention*'
#
# Debian's arm64 libraries go into build/aarch64/root, by apt but with lists of its own: the system's packages and its
# architectures stay as they are.
set -eu
cd "$(dirname "$0")/.."

for program in aarch64-linux-gnu-g++ qemu-aarch64 cmake ninja apt-get dpkg-deb; do
  command -v "$program" >/dev/null || { echo "test_neon: expected $program (apt-get install g++-aarch64-linux-gnu qemu-user)" >&2; exit 2; }
done

build=$PWD/build/aarch64
root=$build/root
packages="libhwy-dev libhwy1 libfmt-dev libfmt9 libspdlog-dev libspdlog1.10 libgtest-dev libgmock-dev libpcre2-dev
          libpcre2-8-0 libutf8proc-dev libutf8proc2 nlohmann-json3-dev libcli11-dev"
if [ ! -e "$root/complete" ]; then
  rm -rf "$root"
  mkdir -p "$build/apt/lists/partial" "$build/apt/cache/archives/partial" "$root"
  apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::lists="$build/apt/lists" \
      -o Dir::Cache="$build/apt/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User= "$@"
  }
  apt update
  # shellcheck disable=SC2086
  (cd "$build/apt" && apt download $packages && for deb in ./*.deb; do dpkg-deb -x "$deb" "$root"; done)
  touch "$root/complete"
fi

export INGOT_AARCH64_ROOT=$root
cmake -S . -B "$build" -G Ninja --toolchain cmake/aarch64.cmake -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_FLAGS_RELEASE="-O2 -g1" -DINGOT_BENCHMARKS=OFF >"$build/cmake.log" || { cat "$build/cmake.log" >&2; exit 1; }

tests="test_ops test_dtype test_graph test_sampler test_exec"
if [ $# -gt 0 ]; then
  tests=$1
  shift
fi
# shellcheck disable=SC2086
cmake --build "$build" --target $tests
for test in $tests; do
  qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$root/usr/lib/aarch64-linux-gnu" "$build/bin/$test" "$@"
done
