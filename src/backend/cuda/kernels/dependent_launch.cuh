// Programmatic dependent launch, seen from a kernel: the next kernel of the stream, launched with
// cudaLaunchAttributeProgrammaticStreamSerialization, starts before this one ends. Nothing happens on devices
// without it, nor where the kernel was launched without the attribute.
#pragma once

namespace ingot::cuda {

/// Lets the next kernel's blocks start as soon as all of this kernel's have come here or ended.
__device__ __forceinline__ void let_dependents_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/// Waits until the kernel before this one has ended and its writes are there.
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace ingot::cuda
