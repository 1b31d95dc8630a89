// Runs one launch of a backend's kernel on copies of a case's operands, with guard bytes around every buffer.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "opcases/op_case.h"

namespace ingot {

using backend::Backend;
using backend::StepClass;
using graph::Tensor;
using opcases::BuiltCase;

/// An instruction set's name as the names of tests may hold it: "AVX3_VNNI".
inline std::string target_word(std::string name) {
  std::replace(name.begin(), name.end(), '+', '_');
  return name;
}

inline std::vector<std::byte> bytes_of(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), tensor.data, bytes.size());
  return bytes;
}

/// The backend's kernel for the case's op, or null.
inline const backend::Kernel* kernel_of(const Backend& backend, const BuiltCase& built, StepClass step) {
  const std::vector<graph::TensorType> types = built.input_types();
  return backend.find_kernel(
      {.op = built.op(), .inputs = types, .output = built.graph.type(built.result), .step = step});
}

/// The types of weights that every device multiplies; the CPU those of all files.
inline bool is_device_format(DType dtype) {
  switch (dtype) {
    case DType::q8_0:
    case DType::q4_0:
    case DType::q4_k:
    case DType::q6_k:
    case DType::mxfp4:
      return true;
    default:
      return !is_block_dtype(dtype) && dtype != DType::f8_e4m3;
  }
}

/// The steps in which plans launch the case's op itself. Prompt steps have no kernels for fused linears with
/// weights in blocks: plans run their definitions there.
inline std::vector<StepClass> steps_of(Backend& backend, const BuiltCase& built) {
  std::vector<StepClass> steps;
  bool has_blocks = false;
  bool is_file_format = false;  // that devices with memory of their own may leave to the CPU
  for (const graph::TensorType& input : built.input_types()) {
    has_blocks |= is_block_dtype(input.dtype);
    is_file_format |= !backend.limits().shares_host_memory && !is_device_format(input.dtype);
  }
  for (StepClass step : {StepClass::prefill, StepClass::decode}) {
    const bool has_kernel = kernel_of(backend, built, step) != nullptr;
    EXPECT_TRUE(has_kernel || is_file_format || (has_blocks && step == StepClass::prefill))
        << "no kernel for a " << to_string(step) << " step";
    if (has_kernel) steps.push_back(step);
  }
  return steps;
}

/// Device memory between two guards that a kernel must not touch.
class Guarded {
 public:
  /// `shift` moves the first byte off its alignment.
  Guarded(Backend& backend, size_t bytes, size_t shift = 0)
      : backend_(backend),
        buffer_(backend.allocate(bytes + shift + 2 * kGuard)),
        offset_(kGuard + shift),
        bytes_(bytes) {
    const std::vector<std::byte> poison(buffer_.bytes(), kPoison);
    backend.copy(buffer_.data(), poison.data(), poison.size());
  }
  void* data() { return static_cast<std::byte*>(buffer_.data()) + offset_; }
  std::vector<std::byte> read() {
    std::vector<std::byte> all(buffer_.bytes());
    backend_.copy(all.data(), buffer_.data(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      if ((i < offset_ || i >= offset_ + bytes_) && all[i] != kPoison) {
        ADD_FAILURE() << "byte " << static_cast<int64_t>(i) - static_cast<int64_t>(offset_)
                      << " of a buffer of " << bytes_ << " was written";
        break;
      }
    }
    return {all.begin() + static_cast<std::ptrdiff_t>(offset_),
            all.begin() + static_cast<std::ptrdiff_t>(offset_ + bytes_)};
  }

 private:
  static constexpr size_t kGuard = 4096;
  static constexpr std::byte kPoison{0xa5};  // as f32 about -2.9e-16, as an index far outside

  Backend& backend_;
  PooledBuffer buffer_;
  size_t offset_;
  size_t bytes_;
};

/// The input whose storage the op's result `i` is, or -1.
inline int aliased_input(const BuiltCase& built, size_t i) {
  const graph::Node& node = built.graph.nodes()[static_cast<size_t>(built.result.id) + 1 + i];
  const auto& inputs = built.graph.node(built.result).inputs;
  const auto found = std::find(inputs.begin(), inputs.end(), node.alias);
  return found == inputs.end() ? -1 : static_cast<int>(found - inputs.begin());
}

/// Runs the case's op on these operands and returns the bytes of the output and then of every further result.
/// `in_place`: the input whose storage the output takes, or -1. Expects that no guard and no other input
/// changed.
inline std::vector<std::byte> run_op(Backend& backend, const BuiltCase& built,
                                     const std::vector<Tensor>& inputs, Tensor output,
                                     std::vector<Tensor> results, StepClass step, int in_place = -1) {
  const backend::Kernel* kernel = kernel_of(backend, built, step);
  if (kernel == nullptr) {
    ADD_FAILURE() << backend.name() << " has no kernel for " << built.op().name();
    return {};
  }
  const auto alias = built.op().alias_of();
  if (alias && built.op().name() != "reshape") in_place = *alias;
  std::vector<std::unique_ptr<Guarded>> buffers;
  std::vector<Tensor> operands;
  for (size_t i = 0; i < inputs.size(); ++i) {
    // Activations are aligned as the planner lays them out; weights only as a file does, to their element,
    // where they are read in place. Devices with memory of their own place them.
    const bool is_weight =
        built.graph.node(built.graph.node(built.result).inputs[i]).kind == graph::NodeKind::weight;
    const bool is_in_file = is_weight && backend.limits().shares_host_memory;
    const size_t shift = is_in_file ? dtype_alignment(inputs[i].dtype) : 0;
    buffers.push_back(std::make_unique<Guarded>(backend, inputs[i].bytes(), shift));
    backend.copy(buffers.back()->data(), inputs[i].data, inputs[i].bytes());
    operands.push_back(inputs[i]);
    operands.back().data = buffers.back()->data();
  }
  std::vector<bool> may_change(inputs.size(), false);
  std::vector<std::unique_ptr<Guarded>> own;  // outputs in storage of their own
  std::vector<Guarded*> outputs;
  const auto place = [&](Tensor& tensor, int input) {
    if (input >= 0) {
      may_change[static_cast<size_t>(input)] = true;
      outputs.push_back(buffers[static_cast<size_t>(input)].get());
    } else {
      own.push_back(std::make_unique<Guarded>(backend, tensor.bytes()));
      outputs.push_back(own.back().get());
    }
    tensor.data = outputs.back()->data();
  };
  place(output, in_place);
  for (size_t i = 0; i < results.size(); ++i) place(results[i], aliased_input(built, i));
  backend::Launch launch{
      .op = &built.op(), .inputs = operands, .output = output, .results = results, .workspace = {}};
  const size_t workspace_bytes =
      kernel->workspace_bytes != nullptr ? kernel->workspace_bytes(backend, launch) : 0;
  Guarded workspace(backend, workspace_bytes);
  launch.workspace = {static_cast<std::byte*>(workspace.data()), workspace_bytes};
  backend.submit({.kernels = {&kernel, 1}, .launches = {&launch, 1}});
  backend.synchronize();
  workspace.read();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<std::byte> after = buffers[i]->read();
    if (may_change[i]) continue;
    EXPECT_EQ(after, bytes_of(inputs[i])) << "input " << i << " was changed";
  }
  std::vector<std::byte> bytes;
  for (Guarded* buffer : outputs) {
    const std::vector<std::byte> read = buffer->read();
    bytes.insert(bytes.end(), read.begin(), read.end());
  }
  return bytes;
}

inline std::vector<std::byte> run_case(Backend& backend, const BuiltCase& built, StepClass step,
                                       int in_place = -1) {
  return run_op(backend, built, built.inputs(), built.output(), built.results(), step, in_place);
}

/// What the op's reference gives: the output's bytes, then those of every further result.
inline std::vector<std::byte> run_reference(const BuiltCase& built) {
  std::vector<Tensor> inputs = built.inputs();
  std::vector<Tensor> outputs = built.results();
  outputs.insert(outputs.begin(), built.output());
  std::vector<std::vector<std::byte>> storage;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int alias = i == 0 ? built.op().alias_of().value_or(-1) : aliased_input(built, i - 1);
    if (alias >= 0) {
      storage.push_back(bytes_of(inputs[static_cast<size_t>(alias)]));
      inputs[static_cast<size_t>(alias)].data = storage.back().data();
    } else {
      storage.emplace_back(outputs[i].bytes(), std::byte{0x5a});
    }
    outputs[i].data = storage.back().data();
  }
  built.op().reference_all(inputs, outputs);
  std::vector<std::byte> bytes;
  for (const auto& part : storage) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

/// Whether both hold a NaN as f32 there: which one of the many is the device's affair.
inline bool both_are_nan(const std::vector<std::byte>& a, const std::vector<std::byte>& b, size_t at) {
  float values[2];
  std::memcpy(&values[0], a.data() + at, sizeof(float));
  std::memcpy(&values[1], b.data() + at, sizeof(float));
  return std::isnan(values[0]) && std::isnan(values[1]);
}

/// Compares as the case's tolerance says.
inline void expect_close(const std::vector<std::byte>& found, const std::vector<std::byte>& expected,
                         DType dtype, const opcases::Tolerance& tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  if (dtype != DType::f32 || (tolerance.absolute == 0 && tolerance.relative == 0)) {
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i] == expected[i] || (dtype == DType::f32 && both_are_nan(found, expected, i / 4 * 4)))
        continue;
      ADD_FAILURE() << "byte " << i << " of " << found.size() << ": expected "
                    << static_cast<int>(expected[i]) << ", found " << static_cast<int>(found[i]);
      return;
    }
    return;
  }
  size_t worst = 0;
  size_t wrong = 0;
  double worst_share = 0;
  for (size_t i = 0; i + 4 <= found.size(); i += 4) {
    float a = 0;
    float b = 0;
    std::memcpy(&a, found.data() + i, 4);
    std::memcpy(&b, expected.data() + i, 4);
    if (a == b) continue;
    const double allowed = tolerance.absolute + tolerance.relative * std::abs(static_cast<double>(b));
    const double share = std::abs(static_cast<double>(a) - b) / allowed;
    if (!(share <= 1)) ++wrong;  // of NaN too
    if (share <= worst_share) continue;
    worst_share = share;
    worst = i;
    if (std::isnan(share)) break;
  }
  if (wrong == 0) return;
  float a = 0;
  float b = 0;
  std::memcpy(&a, found.data() + worst, 4);
  std::memcpy(&b, expected.data() + worst, 4);
  ADD_FAILURE() << "element " << worst / 4 << " of " << found.size() / 4 << ": expected " << b << ", found "
                << a << ", " << worst_share << " times the tolerance; " << wrong << " are outside it";
}

}  // namespace ingot
