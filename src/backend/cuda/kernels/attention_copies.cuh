// Copies from global to shared memory that go on while the thread does something else (cp.async).
#pragma once

#include <cstdint>

namespace ingot::cuda {

__device__ inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

/// Begins to copy 16 bytes, or to write 16 bytes of zeros. Both addresses are multiples of 16; `from` is a
/// valid one even for zeros.
__device__ inline void copy16(uint32_t to, const void* from, bool is_there) {
  const int bytes = is_there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
/// Ends a group of copies, which may be empty.
__device__ inline void end_copies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
/// Waits until at most kPending of this thread's latest groups are on their way.
template <int kPending>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

/// Programmatic dependent launch: lets the next kernel's blocks start as soon as all of this one's have, and
/// what waits in the next kernel until this one's writes are there. Nothing on devices without it.
__device__ inline void let_dependents_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}
__device__ inline void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
}

}  // namespace ingot::cuda
