#include "backend/cuda/kernels/movement.h"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kUnits = 4;  // that a thread has in flight

/// `units` a row; Index holds a number of all units.
template <class Unit, class Index>
__global__ void __launch_bounds__(kThreads) row_copy_kernel(RowCopy copy, Index units, Index all) {
  const int64_t block = int64_t{blockIdx.x} * (kThreads * kUnits);
  Unit held[kUnits];
#pragma unroll
  for (int j = 0; j < kUnits; ++j) {
    const int64_t at = block + j * kThreads + static_cast<int>(threadIdx.x);
    if (at >= all) break;
    const Index row = static_cast<Index>(at) / units;
    const Index unit = static_cast<Index>(at) % units;
    held[j] =
        reinterpret_cast<const Unit*>(static_cast<const char*>(copy.from) + row * copy.from_pitch)[unit];
  }
#pragma unroll
  for (int j = 0; j < kUnits; ++j) {
    const int64_t at = block + j * kThreads + static_cast<int>(threadIdx.x);
    if (at >= all) break;
    const Index row = static_cast<Index>(at) / units;
    const Index unit = static_cast<Index>(at) % units;
    reinterpret_cast<Unit*>(static_cast<char*>(copy.to) + row * copy.to_pitch)[unit] = held[j];
  }
}

/// Calls f with the widest type that `bytes` is a multiple of.
template <class F>
void with_unit(int64_t bytes, F&& f) {
  if (bytes % 16 == 0) {
    f(uint4{});
  } else if (bytes % 8 == 0) {
    f(uint2{});
  } else if (bytes % 4 == 0) {
    f(uint32_t{});
  } else if (bytes % 2 == 0) {
    f(uint16_t{});
  } else {
    f(uint8_t{});
  }
}

int64_t address_of(const void* data) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(data));
}

/// The items of the last axis lie together in the input too: copied as runs of units.
template <class Unit, class Index>
__global__ void __launch_bounds__(kThreads) gather_kernel(Permutation permutation, Index all) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= all) return;
  auto rest = static_cast<Index>(at);
  int64_t from = 0;
#pragma unroll
  for (int axis = Permutation::kMaxRank - 1; axis >= 0; --axis) {
    if (axis >= permutation.rank) continue;
    const auto extent = static_cast<Index>(permutation.extents[axis]);
    from += static_cast<int64_t>(rest % extent) * permutation.strides[axis];
    rest /= extent;
  }
  static_cast<Unit*>(permutation.to)[at] = static_cast<const Unit*>(permutation.from)[from];
}

/// A matrix's transpose in tiles that are read along the input's last axis and written along the output's.
struct TiledPermutation {
  static constexpr int kBatchRank = Permutation::kMaxRank - 2;
  void* to = nullptr;
  const void* from = nullptr;
  int64_t out_extent = 0;  // the output's last axis …
  int64_t out_stride = 0;  // … in the input
  int64_t in_extent = 0;   // the input's last axis …
  int64_t in_stride = 0;   // … in the output
  int64_t out_tiles = 0;
  int64_t in_tiles = 0;
  int batch_rank = 0;  // of the other axes
  int64_t batch_extents[kBatchRank] = {};
  int64_t batch_from[kBatchRank] = {};  // strides
  int64_t batch_to[kBatchRank] = {};
};

constexpr int kTile = 32;
constexpr int kTileRows = kThreads / kTile;  // that a block moves at a time

template <class Item>
__global__ void __launch_bounds__(kThreads) tiles_kernel(TiledPermutation permutation) {
  __shared__ Item tile[kTile][kTile + 1];  // one more: a column lies in as many banks as a row
  int64_t rest = blockIdx.x;
  const int64_t in_first = rest % permutation.in_tiles * kTile;
  rest /= permutation.in_tiles;
  const int64_t out_first = rest % permutation.out_tiles * kTile;
  rest /= permutation.out_tiles;
  const auto* from = static_cast<const Item*>(permutation.from);
  auto* to = static_cast<Item*>(permutation.to);
  for (int i = 0; i < permutation.batch_rank; ++i) {
    const int64_t index = rest % permutation.batch_extents[i];
    rest /= permutation.batch_extents[i];
    from += index * permutation.batch_from[i];
    to += index * permutation.batch_to[i];
  }
  const int x = static_cast<int>(threadIdx.x) % kTile;
  const int y = static_cast<int>(threadIdx.x) / kTile;
#pragma unroll
  for (int j = y; j < kTile; j += kTileRows) {
    if (out_first + j < permutation.out_extent && in_first + x < permutation.in_extent)
      tile[j][x] = from[(out_first + j) * permutation.out_stride + in_first + x];
  }
  __syncthreads();
#pragma unroll
  for (int j = y; j < kTile; j += kTileRows) {
    if (in_first + j < permutation.in_extent && out_first + x < permutation.out_extent)
      to[(in_first + j) * permutation.in_stride + out_first + x] = tile[x][j];
  }
}

/// The same permutation without axes of one item, and with one axis for those that stay together.
Permutation simplified(const Permutation& permutation) {
  Permutation simple = permutation;
  simple.rank = 0;
  for (int i = 0; i < permutation.rank; ++i) {
    const int64_t extent = permutation.extents[i];
    const int64_t stride = permutation.strides[i];
    if (extent == 1) continue;
    if (simple.rank > 0 && simple.strides[simple.rank - 1] == stride * extent) {
      simple.extents[simple.rank - 1] *= extent;
      simple.strides[simple.rank - 1] = stride;
    } else {
      simple.extents[simple.rank] = extent;
      simple.strides[simple.rank] = stride;
      ++simple.rank;
    }
  }
  return simple;
}

/// The last axis stays last: items become units as wide as its extent and all strides allow.
void run_gather(const Gpu& gpu, Permutation permutation) {
  const int last = permutation.rank - 1;
  int64_t width = permutation.extents[last] * permutation.item_bytes;
  for (int i = 0; i < last; ++i)
    width |= permutation.strides[i] * permutation.item_bytes;  // common factors of 2
  with_unit(width | address_of(permutation.to) | address_of(permutation.from), [&]<class Unit>(Unit) {
    const int64_t items = static_cast<int64_t>(sizeof(Unit)) / permutation.item_bytes;
    permutation.extents[last] /= items;
    int64_t all = permutation.extents[last];
    for (int i = 0; i < last; ++i) {
      permutation.strides[i] /= items;
      all *= permutation.extents[i];
    }
    const auto blocks = static_cast<unsigned>(divide_up(all, kThreads));
    if (all <= UINT32_MAX) {
      gather_kernel<Unit, uint32_t>
          <<<blocks, kThreads, 0, gpu.stream>>>(permutation, static_cast<uint32_t>(all));
    } else {
      gather_kernel<Unit, int64_t><<<blocks, kThreads, 0, gpu.stream>>>(permutation, all);
    }
  });
}

void run_tiles(const Gpu& gpu, const Permutation& permutation) {
  const int last = permutation.rank - 1;
  TiledPermutation tiled{.to = permutation.to,
                         .from = permutation.from,
                         .out_extent = permutation.extents[last],
                         .out_stride = permutation.strides[last]};
  int64_t blocks = 1;
  int64_t pitch = permutation.extents[last];  // of an axis in the output
  for (int i = last - 1; i >= 0; --i) {
    if (permutation.strides[i] == 1) {
      tiled.in_extent = permutation.extents[i];
      tiled.in_stride = pitch;
    } else {
      tiled.batch_extents[tiled.batch_rank] = permutation.extents[i];
      tiled.batch_from[tiled.batch_rank] = permutation.strides[i];
      tiled.batch_to[tiled.batch_rank] = pitch;
      ++tiled.batch_rank;
      blocks *= permutation.extents[i];
    }
    pitch *= permutation.extents[i];
  }
  tiled.out_tiles = divide_up(tiled.out_extent, kTile);
  tiled.in_tiles = divide_up(tiled.in_extent, kTile);
  blocks *= tiled.out_tiles * tiled.in_tiles;
  with_unit(permutation.item_bytes, [&]<class Item>(Item) {
    tiles_kernel<Item><<<static_cast<unsigned>(blocks), kThreads, 0, gpu.stream>>>(tiled);
  });
}

}  // namespace

void run_row_copy(const Gpu& gpu, const RowCopy& row_copy) {
  RowCopy copy = row_copy;
  if (copy.rows == 0 || copy.row_bytes == 0) return;
  if (copy.to_pitch == copy.row_bytes && copy.from_pitch == copy.row_bytes) {
    copy.row_bytes *= copy.rows;
    copy.rows = 1;
  }
  int64_t bytes = copy.row_bytes | address_of(copy.to) | address_of(copy.from);
  if (copy.rows > 1) bytes |= copy.to_pitch | copy.from_pitch;
  with_unit(bytes, [&]<class Unit>(Unit) {
    const int64_t units = copy.row_bytes / static_cast<int64_t>(sizeof(Unit));
    const int64_t all = units * copy.rows;
    const auto blocks = static_cast<unsigned>(divide_up(all, kThreads * kUnits));
    if (all <= UINT32_MAX) {
      row_copy_kernel<Unit, uint32_t><<<blocks, kThreads, 0, gpu.stream>>>(copy, static_cast<uint32_t>(units),
                                                                           static_cast<uint32_t>(all));
    } else {
      row_copy_kernel<Unit, int64_t><<<blocks, kThreads, 0, gpu.stream>>>(copy, units, all);
    }
  });
}

void run_permutation(const Gpu& gpu, const Permutation& permutation) {
  int64_t items = 1;
  for (int i = 0; i < permutation.rank; ++i) items *= permutation.extents[i];
  if (items == 0) return;
  const Permutation simple = simplified(permutation);
  if (simple.rank <= 1) {  // nothing changes places
    const int64_t bytes = items * simple.item_bytes;
    run_row_copy(gpu, {.to = simple.to,
                       .from = simple.from,
                       .rows = 1,
                       .row_bytes = bytes,
                       .to_pitch = bytes,
                       .from_pitch = bytes});
  } else if (simple.strides[simple.rank - 1] == 1) {
    run_gather(gpu, simple);
  } else {
    run_tiles(gpu, simple);
  }
}

}  // namespace ingot::cuda
