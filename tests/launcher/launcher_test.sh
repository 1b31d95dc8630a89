#!/bin/sh
# The launcher in a bare copy of the tree, with stand-ins for the compiler's tools.
#
# Usage: launcher_test.sh LAUNCHER CASE. Each case is a function below; its status is the test's.
# Stand-ins are scripts in single quotes:
# shellcheck disable=SC2016
set -eu

unset INGOT_BUILD_DIR INGOT_DRY_RUN
launcher=$1
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
root="$here/a clone"  # the space is on purpose
ingot="$root/ingot"
real_path=$PATH

fail() {
  echo "$0: $*" >&2
  exit 1
}

expect_equal() { [ "$1" = "$2" ] || fail "$3: expected '$1', found '$2'"; }

# expect_line TEXT PATTERN: a line of TEXT matches the whole of the shell pattern.
expect_line() {
  printf '%s\n' "$1" | {
    while IFS= read -r line; do
      # A pattern, not a string.
      # shellcheck disable=SC2254
      case $line in $2) exit 0 ;; esac
    done
    exit 1
  } || fail "expected a line '$2' in: $1"
}

expect_no_line() {
  if (expect_line "$1" "$2") 2>/dev/null; then fail "expected no line '$2' in: $1"; fi
}

# The parts of the tree that the launcher looks at.
make_tree() {
  mkdir -p "$root/cmake" "$root/include" "$root/src/base" "$root/apps" "$root/docs"
  cp "$launcher" "$ingot"
  echo 'source' | tee "$root/CMakeLists.txt" "$root/CMakePresets.json" "$root/src/base/a.cc" >"$root/docs/a.md"
}

# Writes an executable from standard input into the folder of stand-ins.
stand_in() {
  mkdir -p "$here/bin"
  cat >"$here/bin/$1"
  chmod +x "$here/bin/$1"
}

# A compiler, a Ninja, a pkg-config that knows every library, and a CMake that notes its calls in $here/calls and
# "builds" a program that prints its arguments and leaves with status 7.
make_tools() {
  for tool in c++ ninja pkg-config python3; do printf '#!/bin/sh\nexit 0\n' | stand_in "$tool"; done
  stand_in cmake <<TOOL
#!/bin/sh
printf '%s\n' "cmake \$*" >>"$here/calls"
build="$root/build/release"
case "\$1 \$*" in
  --preset*)
    echo >"\$build/build.ninja"
    echo "CMAKE_HOME_DIRECTORY:INTERNAL=$root" >"\$build/CMakeCache.txt"
    case "\$*" in *INGOT_TESTS=ON*) echo INGOT_TESTS:BOOL=ON >>"\$build/CMakeCache.txt" ;; esac
    ;;
  --build*)
    sleep "\${SLOW:-0}"
    if [ -n "\${BROKEN:-}" ]; then
      printf '%s\n' '[1/2] good.cc' 'FAILED: bad.cc' 'bad.cc:3: error: the reason'
      exit 1
    fi
    echo '[2/2] linked'
    mkdir -p "\$build/bin"
    printf '#!/bin/sh\nprintf "<%%s>" "\$@"\nexit 7\n' >"\$build/bin/ingot"
    chmod +x "\$build/bin/ingot"
    ;;
esac
TOOL
  # The driver's tool, with the GPU that a test wishes for.
  printf '#!/bin/sh\necho "${CAPABILITY:-}"\n' | stand_in nvidia-smi
  PATH=$here/bin:$real_path
  export PATH
}

steps() { INGOT_DRY_RUN=1 "$ingot" "$@"; }

make_tree
make_tools

help_needs_no_build() {
  for arguments in --help -h help ''; do
    # One word or none.
    # shellcheck disable=SC2086
    text=$(PATH=/usr/bin:/bin "$ingot" $arguments 2>&1) || fail "'$arguments' left with status $?"
    expect_line "$text" '*./ingot run *'
    expect_line "$text" '*./ingot test *'
  done
  [ ! -e "$root/build" ] || fail "help touched the build folder"
}

first_start_configures_builds_and_runs() {
  expect_equal "configure: cmake --preset release --fresh -DINGOT_TESTS=OFF -DINGOT_BENCHMARKS=OFF -DINGOT_CUDA=off
build: ingot
run: $root/build/release/bin/ingot run x" "$(steps run x)" "steps"
  [ ! -e "$root/build" ] || fail "a dry run touched the build folder"
}

a_gpu_is_built_for() {
  expect_line "$(CAPABILITY=9.0 steps run)" 'configure: * -DINGOT_CUDA=auto -DINGOT_CUDA_ARCHITECTURES=90a-real'
  expect_line "$(CAPABILITY=8.6 steps run)" 'configure: * -DINGOT_CUDA=auto -DINGOT_CUDA_ARCHITECTURES=86-real'
  expect_line "$(CAPABILITY='[N/A]' steps run)" 'configure: * -DINGOT_CUDA=off'
  expect_line "$(CAPABILITY=7.5 steps run)" 'configure: * -DINGOT_CUDA=off'
}

second_start_only_runs() {
  "$ingot" >/dev/null run 2>&1 || true
  expect_equal "run: $root/build/release/bin/ingot run" "$(steps run)" "steps"
}

newer_source_is_built() {
  "$ingot" run >/dev/null 2>&1 || true
  touch "$root/docs/a.md"
  expect_no_line "$(steps run)" 'build: *'
  for changed in CMakeLists.txt CMakePresets.json src/base/a.cc cmake/new.cmake include/new.h apps/new.cc; do
    sleep 0.02
    touch "$root/$changed"
    expect_line "$(steps run)" 'build: ingot'
    expect_no_line "$(steps run)" 'configure: *'
    "$ingot" run >/dev/null 2>&1 || true
    expect_no_line "$(steps run)" 'build: *'
  done
  sleep 0.02
  rm "$root/src/base/a.cc"
  expect_line "$(steps run)" 'build: ingot'
}

source_edited_during_a_build_is_built_again() {
  SLOW=0.3 "$ingot" run >/dev/null 2>&1 &
  sleep 0.15
  touch "$root/src/base/a.cc"
  wait $! || true
  expect_line "$(steps run)" 'build: ingot'
}

arguments_input_and_status_pass_through() {
  "$ingot" run >/dev/null 2>&1 || true
  status=0
  output=$("$ingot" run 'two words' '' '*' '$x') || status=$?
  expect_equal 7 "$status" "status"
  expect_equal '<run><two words><><*><$x>' "$output" "arguments"
  printf '#!/bin/sh\ncat; pwd\n' >"$root/build/release/bin/ingot"
  mkdir "$here/elsewhere"
  ln -s "$ingot" "$here/elsewhere/link"
  cd "$here/elsewhere"
  expect_equal "prompt$here/elsewhere" "$(printf prompt | ./link run)" "input and folder"
}

build_keeps_the_prompt_and_standard_output_clean() {
  printf '#!/bin/sh\ncat >"%s/eaten"\n' "$here" | stand_in ninja
  sed -i 's/^case/cat >>"$0.eaten"; echo noise; case/' "$here/bin/cmake"
  output=$(printf prompt | "$ingot" run 2>/dev/null) || true
  expect_equal '<run>' "$output" "standard output"
  expect_equal '' "$(cat "$here/bin/cmake.eaten")" "input that the build read"
}

failed_build_shows_the_error_and_the_log() {
  status=0
  output=$(BROKEN=1 "$ingot" run 2>&1) || status=$?
  expect_equal 1 "$status" "status"
  expect_line "$output" 'bad.cc:3: error: the reason'
  expect_line "$output" "ingot: the build failed; the full log: $root/build/release/build.log"
  expect_line "$(cat "$root/build/release/build.log")" '?1/2? good.cc'
  expect_line "$(steps run)" 'build: ingot'
}

tests_and_runs_do_not_reconfigure_in_turn() {
  expect_line "$(steps test)" 'configure: * --fresh -DINGOT_TESTS=ON -DINGOT_BENCHMARKS=OFF -DINGOT_CUDA=*'
  "$ingot" run >/dev/null 2>&1 || true
  expect_line "$(steps test -R x)" 'configure: cmake --preset release -DINGOT_TESTS=ON'
  expect_line "$(steps test -R x)" 'build: all'
  expect_line "$(steps test -R x)" 'run: ctest -R x'
  printf '#!/bin/sh\nexit 0\n' | stand_in ctest
  "$ingot" test >/dev/null 2>&1
  touch "$root/src/base/a.cc"
  expect_no_line "$(steps run)" 'configure: *'
  expect_no_line "$(steps test)" 'configure: *'
}

moved_folder_is_configured_anew() {
  "$ingot" run >/dev/null 2>&1 || true
  mv "$root" "$here/moved"
  touch "$here/moved/src/base/a.cc"
  expect_line "$(INGOT_DRY_RUN=1 "$here/moved/ingot" run)" 'configure: * --fresh *'
}

starts_at_once_build_once() {
  SLOW=0.3 "$ingot" run one >"$here/one" 2>/dev/null &
  sleep 0.1
  "$ingot" run two >"$here/two" 2>"$here/said" || true
  wait $! || true
  expect_equal '<run><one>' "$(cat "$here/one")" "first"
  expect_equal '<run><two>' "$(cat "$here/two")" "second"
  expect_line "$(cat "$here/said")" 'ingot: waiting for another build*'
  expect_equal 1 "$(grep -c -- '--build' "$here/calls")" "builds"
}

missing_packages_are_named_with_their_reason() {
  printf '#!/bin/sh\n[ "$2" != libhwy ]\n' | stand_in pkg-config
  expect_equal 'install: libhwy-dev' "$(steps run | head -n 1)" "steps"
  # A machine without apt-get: only the commands that the launcher itself needs.
  mkdir "$here/few"
  for tool in cat env flock grep id mkdir nproc readlink rm sed sh tail tee tr; do
    ln -s "$(command -v "$tool")" "$here/few/$tool"
  done
  ln -s "$here/bin/pkg-config" "$here/bin/cmake" "$here/few"
  status=0
  output=$(PATH=$here/few "$ingot" run 2>&1) || status=$?
  expect_equal 1 "$status" "status"
  expect_line "$output" '  libhwy-dev: *'
  expect_line "$output" '  g++: the C++ compiler'
  expect_line "$output" "ingot: install them with this system's package manager*"
  expect_no_line "$output" '  libfmt-dev: *'
}

missing_packages_are_installed_with_apt() {
  printf '#!/bin/sh\n[ "$2" != libhwy ] || [ -e "%s/installed" ]\n' "$here" | stand_in pkg-config
  # Only `install` of what is missing counts; the update may fail.
  printf '#!/bin/sh\ncase "$*" in *" install "*libhwy-dev) touch "%s/installed" ;; *) exit 100 ;; esac\n' "$here" |
    stand_in apt-get
  printf '#!/bin/sh\nexec "$@"\n' | stand_in sudo
  status=0
  output=$("$ingot" run 2>"$here/said") || status=$?
  expect_equal 7 "$status" "status"
  expect_equal '<run>' "$output" "output"
  expect_line "$(cat "$here/said")" '  libhwy-dev: vector instructions of every processor'
}

without_root_and_sudo_the_command_is_named() {
  printf '#!/bin/sh\n[ "$2" != libhwy ]\n' | stand_in pkg-config
  printf '#!/bin/sh\nexit 1\n' | stand_in apt-get
  printf '#!/bin/sh\necho 1000\n' | stand_in id
  mkdir "$here/few"
  for tool in cat env flock grep mkdir nproc readlink rm sed sh tail tee tr; do
    ln -s "$(command -v "$tool")" "$here/few/$tool"
  done
  status=0
  output=$(PATH=$here/bin:$here/few "$ingot" run 2>&1) || status=$?
  expect_equal 1 "$status" "status"
  expect_equal 'ingot: packages are missing and only root may install them: apt-get install libhwy-dev' "$output" \
    "message"
}

skipped_tests_show_their_reason_before_the_summary() {
  stand_in ctest <<TOOL
#!/bin/sh
mkdir -p "$root/build/release/Testing/Temporary"
printf '%s\n' '2/2 Testing: Kernel.Avx512' '2/2 Test: Kernel.Avx512' 'Output:' 'kernel.cc:5: Skipped' \
  'this processor has no AVX-512' >"$root/build/release/Testing/Temporary/LastTest.log"
printf '%s\n' '1/2 Test #1: A ... Passed' '100% tests passed, 0 tests failed out of 2' 'Total Test time = 1 sec'
exit 8
TOOL
  status=0
  output=$("$ingot" test 2>/dev/null) || status=$?
  expect_equal 8 "$status" "status"
  expect_equal '1/2 Test #1: A ... Passed
Skipped, and why:
  Kernel.Avx512: this processor has no AVX-512
100% tests passed, 0 tests failed out of 2
Total Test time = 1 sec' "$output" "output"
}

"$2"
