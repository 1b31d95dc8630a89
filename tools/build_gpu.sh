#!/usr/bin/env bash
# Builds with CUDA into build/gpu, or says what this machine lacks. Sourced by test_gpu.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

PATH=$PATH:${CUDA_PATH:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || fail 'nvcc is not found (PATH, CUDA_PATH, /usr/local/cuda): install the CUDA toolkit'
command -v nvidia-smi >/dev/null || fail 'no GPU: nvidia-smi, which comes with the driver, is not found'
gpus=$(nvidia-smi -L 2>&1) || fail "no GPU: nvidia-smi says: $gpus"
printf '%s\n' "$gpus"
cmake --preset gpu >/dev/null
cmake --build --preset gpu
