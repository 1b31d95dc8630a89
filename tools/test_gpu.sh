#!/usr/bin/env bash
# make test-gpu: builds with CUDA, runs the tests of the GPU, and checks the kernels' memory accesses and races.
#
#   tools/test_gpu.sh [--no-sanitizer] [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %d s: %s\n' "$SECONDS" "$*"; }

sanitize=yes
if [ "${1:-}" = --no-sanitizer ]; then
  sanitize=
  shift
fi
step 'build'
# shellcheck source=tools/build_gpu.sh
. tools/build_gpu.sh
build=build/gpu

step 'tests'
# Each test makes a device of its own: more at once than this wait for each other.
ctest --test-dir $build -L gpu --no-tests=error --output-on-failure -j "$(($(nproc) < 8 ? $(nproc) : 8))" "$@" |
  tee $build/tests.log
if grep -q 'Skipped' $build/tests.log; then fail 'tests were skipped: see above why there is no device'; fi

[ -n "$sanitize" ] || exit 0
command -v compute-sanitizer >/dev/null || fail 'compute-sanitizer is not found: it is part of the CUDA toolkit'
# An op's cases in one process each. What a kernel does wrong there, the sanitizer exits with.
check() {
  local tool=$1 op=$2 log
  log=build/gpu/$tool-$op.log
  if compute-sanitizer --tool "$tool" --error-exitcode 7 --print-limit 20 build/gpu/bin/test_gpu \
    --gtest_filter="All/GpuCases.EqualTheReference/$op" --gtest_brief=1 >"$log" 2>&1; then
    echo "$tool $op: clean"
  else
    echo "$tool $op: FAILED"
    tail -n 60 "$log"
    return 1
  fi
}
export -f check
$build/bin/test_gpu --gtest_list_tests --gtest_filter='All/GpuCases.EqualTheReference/*' |
  sed -n 's/^ *EqualTheReference\/\([a-z0-9_]*\).*/\1/p' >$build/ops.txt
[ -s $build/ops.txt ] || fail 'no op cases found'
failed=
for tool in memcheck racecheck; do
  step "$tool on the op cases"
  xargs -a $build/ops.txt -P "$(nproc)" -I OP bash -c "check $tool OP" || failed=yes
done
[ -z "$failed" ] || fail 'the sanitizer found something'
step 'passed'
