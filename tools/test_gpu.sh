#!/usr/bin/env bash
# make test-gpu: builds with CUDA, runs the tests of the GPU, and checks the kernels' memory accesses and races.
#
#   tools/test_gpu.sh [--no-sanitizer] [GOOGLETEST ARGUMENTS]
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
# A process for each test would start a device for each; more than a few at once wait for each other's kernels.
shards=2
pids=()
for ((i = 0; i < shards; ++i)); do
  GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i GTEST_COLOR=no $build/bin/test_gpu "$@" >$build/tests-$i.log 2>&1 &
  pids+=($!)
done
failed=
for pid in "${pids[@]}"; do wait "$pid" || failed=yes; done
GTEST_COLOR=no $build/bin/test_gpu_cuda "$@" >$build/tests-cuda.log 2>&1 || failed=yes
cat $build/tests-*.log >$build/tests.log
grep -E '^\[ +(PASSED|SKIPPED|FAILED) +\]' $build/tests.log || true
if [ -n "$failed" ]; then
  grep -v -E '^\[ +(RUN|OK) +\]' $build/tests.log | tail -n 200
  fail "tests failed: $build/tests.log"
fi
if ! grep -q 'PASSED  \] [1-9]' $build/tests.log; then fail "no test ran: $build/tests.log"; fi
if grep -q SKIPPED $build/tests.log; then fail "tests were skipped: $build/tests.log has the reason"; fi

[ -n "$sanitize" ] || exit 0
command -v compute-sanitizer >/dev/null || fail 'compute-sanitizer is not found: it is part of the CUDA toolkit'
# An op's cases in one process each. What a kernel does wrong there, the sanitizer exits with. Linears and attention order
# themselves by barriers of the copy engine and of clusters, which racecheck does not see: it leaves them out.
check() {
  local tool=$1 op=$2 log=build/gpu/$1-$2.log
  if compute-sanitizer --tool "$tool" --error-exitcode 7 --print-limit 20 build/gpu/bin/test_gpu \
    --gtest_filter="All/GpuCases.*EqualTheReference/$op" --gtest_brief=1 >"$log" 2>&1 &&
    grep -q 'PASSED  \] [1-9]' "$log" && ! grep -q SKIPPED "$log"; then
    echo "$tool $op: clean"
  else
    echo "$tool $op: FAILED"
    tail -n 60 "$log"
    return 1
  fi
}
export -f check
$build/bin/test_gpu --gtest_list_tests --gtest_filter='All/GpuCases.PromptsEqualTheReference/*' |
  sed -n 's/^ *PromptsEqualTheReference\/\([a-z0-9_]*\).*/\1/p' >$build/ops.txt
[ -s $build/ops.txt ] || fail 'no op cases found'
failed=
for tool in memcheck racecheck; do
  step "$tool on the op cases"
  ops=$build/ops.txt
  if [ $tool = racecheck ]; then
    ops=$build/ops-racecheck.txt
    grep -v -E '^(linear|attention)' $build/ops.txt >$ops
  fi
  xargs -a $ops -P "$(($(nproc) < 6 ? $(nproc) : 6))" -I OP bash -c "check $tool OP" || failed=yes
done
[ -z "$failed" ] || fail 'the sanitizer found something'
step 'passed'
