// The GPU's kernel table, and the launchers its rows name (each defined in kernels/<op>.cc).
#pragma once

#include <span>

#include "backend/backend.h"

namespace ingot::cuda {

std::span<const backend::Kernel> kernel_table();

// Launchers only enqueue on the backend's stream: no allocation, no synchronisation, nothing that a stream
// capture refuses. All are row-invariant: a row of the output depends neither on other rows nor on their
// number. Devices place weights themselves: the first byte of every operand is aligned to 64.
void launch_add(backend::Backend& backend, const backend::Launch& launch);
void launch_mul(backend::Backend& backend, const backend::Launch& launch);
void launch_gelu(backend::Backend& backend, const backend::Launch& launch);
void launch_silu(backend::Backend& backend, const backend::Launch& launch);
void launch_softmax(backend::Backend& backend, const backend::Launch& launch);
void launch_layer_norm(backend::Backend& backend, const backend::Launch& launch);
void launch_rms_norm(backend::Backend& backend, const backend::Launch& launch);
void launch_embedding(backend::Backend& backend, const backend::Launch& launch);
void launch_concat(backend::Backend& backend, const backend::Launch& launch);
void launch_slice(backend::Backend& backend, const backend::Launch& launch);
void launch_transpose(backend::Backend& backend, const backend::Launch& launch);
void launch_reshape(backend::Backend& backend, const backend::Launch& launch);
void launch_matmul(backend::Backend& backend, const backend::Launch& launch);
void launch_pointwise(backend::Backend& backend, const backend::Launch& launch);
void launch_rope(backend::Backend& backend, const backend::Launch& launch);
void launch_rope_table(backend::Backend& backend, const backend::Launch& launch);
void launch_kv_write(backend::Backend& backend, const backend::Launch& launch);
void launch_sample(backend::Backend& backend, const backend::Launch& launch);
void launch_attention_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_attention_prefill(backend::Backend& backend, const backend::Launch& launch);
void launch_linear_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_linear_prefill(backend::Backend& backend, const backend::Launch& launch);
void launch_qkv_decode(backend::Backend& backend, const backend::Launch& launch);
void launch_qkv_prefill(backend::Backend& backend, const backend::Launch& launch);

size_t sample_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t attention_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t attention_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t linear_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t linear_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t qkv_decode_workspace(const backend::Backend& backend, const backend::Launch& launch);
size_t qkv_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch);

}  // namespace ingot::cuda
