// Quantising a model: a Hugging Face folder or a GGUF file in, one GGUF file out.
//
// Tensors stream through: memory holds a few MiB of one at a time, whatever the model's size. The file
// appears under its name when it is complete; until then it is NAME.part, which goes on every error and
// cancellation. Stateless: calls for different files may run side by side.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/dtype.h"
#include "ingot/error.h"

namespace ingot {

/// What users can ask for; mixed ones choose by tensor.
struct QuantizeType {
  std::string_view name;  // "q4_k_m"
  std::string_view description;
};
std::vector<QuantizeType> quantize_types();

struct QuantizeProgress {
  int64_t done_bytes = 0;  // of the weights read
  int64_t total_bytes = 0;
  std::string_view tensor;  // at work
};

struct QuantizeOptions {
  std::string type = "q4_k_m";
  bool force = false;  // replace a file that exists
  int threads = 0;     // 0: as many as the machine has room for
  /// Called by the calling thread some ten times a second or more; false cancels (Error{invalid_argument}
  /// "cancelled").
  std::function<bool(const QuantizeProgress&)> progress = {};
  /// Called once, when the file NAME.part has been created: who ends the process on a signal can remove it.
  std::function<void(const std::string& part_path)> on_part = {};
};

struct QuantizedTensor {
  std::string name;            // in the GGUF file
  std::vector<int64_t> shape;  // outermost first
  DType from = DType::f32;
  DType to = DType::f32;
  DType wanted = DType::f32;  // other than `to` where the rows are no whole blocks of it
  int64_t bytes = 0;
  int64_t elements() const;
};

struct QuantizeResult {
  std::string type;
  std::vector<QuantizedTensor> tensors;  // in the order of the file
  std::vector<std::string> notes;        // what GGUF cannot say, types that did not fit: a sentence each
  int64_t input_bytes = 0;               // of the tensors read
  int64_t output_bytes = 0;              // of the whole file
  int64_t weight_bytes = 0;              // of the tensors written
  int64_t parameters = 0;
  double seconds = 0;
  double bits_per_weight() const;
};

/// Writes `output`. Errors: not_found, invalid_file and unsupported for what `input` is or holds (a tokenizer
/// or an option that GGUF has no words for is named), invalid_argument for a type that does not exist, an
/// output that exists or is the input, or cancellation; io, with the system's reason.
QuantizeResult quantize(const std::string& input, const std::string& output,
                        const QuantizeOptions& options = {});

/// What quantize() would write: the same result and errors, from headers alone; no file is made.
QuantizeResult plan_quantize(const std::string& input, const QuantizeOptions& options = {});

}  // namespace ingot
