// One thread for 16 bytes, or for a number where heads are no multiple of four wide.
#include "backend/cuda/kernels/kv_write.h"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;

/// `units`: T's in a head.
template <typename T>
__global__ void __launch_bounds__(kThreads) write_rows(const KvWrite w, const int units) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t from = index / units;  // row and head
  const int64_t row = from / w.heads;
  if (row >= w.rows) return;
  const int64_t head = from - row * w.heads;
  const int slot = w.slots[row];
  const int page = slot / w.page_tokens;
  const int64_t to =
      (static_cast<int64_t>(page) * w.heads + head) * w.page_tokens + slot - page * w.page_tokens;
  const int64_t unit = index - from * units;
  reinterpret_cast<T*>(w.cache)[to * units + unit] = reinterpret_cast<const T*>(w.x)[index];
}

template <typename T>
void run(const Gpu& gpu, const KvWrite& write) {
  const int units = write.head_dim / static_cast<int>(sizeof(T) / sizeof(float));
  const int64_t blocks = divide_up(write.rows * write.heads * units, kThreads);
  if (blocks == 0) return;
  write_rows<T><<<static_cast<unsigned>(blocks), kThreads, 0, gpu.stream>>>(write, units);
}

}  // namespace

void run_kv_write(const Gpu& gpu, const KvWrite& write) {
  if (write.head_dim % 4 == 0) return run<float4>(gpu, write);
  run<float>(gpu, write);
}

}  // namespace ingot::cuda
