// The CPU's kernel table, and the launchers its rows name (each defined in kernels/<op>.cc).
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace ingot::cpu {

std::span<const backend::Kernel> kernel_table();

/// The vector instruction set the kernels run with here: "AVX3" (AVX-512), "AVX2", "NEON" …, with "+VNNI" or
/// "+DOTPROD" where the machine has an instruction for dot products of bytes.
std::string_view simd_target_name();
/// Every instruction set that this build has kernels for and this machine can run, the best first.
std::vector<std::string_view> simd_target_names();
/// Makes all later launches of this process use one of these, or, for "", the best again. Not while a
/// launch runs. Errors: invalid_argument for another name.
void use_simd_target_for_test(std::string_view name);
/// Whether kernels of the instruction set in use take the machine's instruction for dot products of bytes.
bool has_int8_dot();

// Launchers. All are row-invariant: a row of the output depends neither on other rows nor on their number.
void launch_add(backend::Backend& backend, const backend::Launch& launch);
void launch_mul(backend::Backend& backend, const backend::Launch& launch);
void launch_gelu(backend::Backend& backend, const backend::Launch& launch);
void launch_silu(backend::Backend& backend, const backend::Launch& launch);
void launch_softmax(backend::Backend& backend, const backend::Launch& launch);
void launch_layer_norm(backend::Backend& backend, const backend::Launch& launch);
void launch_rms_norm(backend::Backend& backend, const backend::Launch& launch);
void launch_embedding(backend::Backend& backend, const backend::Launch& launch);
void launch_rope(backend::Backend& backend, const backend::Launch& launch);
void launch_linear_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_fused_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_qkv_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_linear_prefill(backend::Backend& backend, const backend::Launch& launch);
void launch_fused_prefill(backend::Backend& backend, const backend::Launch& launch);
void launch_qkv_prefill(backend::Backend& backend, const backend::Launch& launch);
void launch_pointwise(backend::Backend& backend, const backend::Launch& launch);
void launch_attention_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_attention_prefill(backend::Backend& backend, const backend::Launch& launch);
void launch_sample(backend::Backend& backend, const backend::Launch& launch);

size_t linear_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t fused_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t qkv_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t linear_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t qkv_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t attention_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t attention_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t sample_workspace(const backend::Backend& backend, const backend::Launch& launch);

// Where a thread begins to read the weights of a decode step.
const void* linear_first_weights(const backend::Backend& backend, const backend::Launch& launch, int thread);
const void* fused_first_weights(const backend::Backend& backend, const backend::Launch& launch, int thread);
const void* qkv_first_weights(const backend::Backend& backend, const backend::Launch& launch, int thread);

bool supports_pointwise(const backend::KernelQuery& query);

}  // namespace ingot::cpu
