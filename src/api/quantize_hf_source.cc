// A Hugging Face folder in: names, row orders and configs become GGUF's.
#include <algorithm>
#include <set>

#include "api/quantize_metadata.h"
#include "api/quantize_source.h"
#include "api/quantize_tokenizer.h"
#include "base/check.h"
#include "format/generation_config.h"
#include "format/gguf_names.h"
#include "format/hf_folder.h"
#include "format/json.h"
#include "format/safetensors.h"

namespace ingot::api {
namespace {

using format::GgufArchitecture;
using format::GgufWriter;
using format::HeadRows;
using format::Tensor;

const GgufArchitecture& architecture_of(const format::Config& config) {
  const std::string type = config.get_string("model_type");
  if (const GgufArchitecture* found = format::gguf_architecture_of(type)) return *found;
  fail(ErrorCode::unsupported, "{}: key 'model_type': GGUF files of '{}' are not supported", config.file(),
       format::printable(type));
}

/// Embeddings first, then layer by layer, the head last: the order of use.
int64_t place(const SourceTensor& tensor) {
  const int64_t layer = layer_of(tensor.name);
  if (layer >= 0) return layer;
  return tensor.name.starts_with("output") ? INT64_MAX : -1;
}

class HfSource final : public QuantizeSource {
 public:
  // The model is built, of headers alone: whatever it would refuse is refused here.
  explicit HfSource(const std::string& path)
      : folder_(std::make_shared<format::HfFolder>(format::HfFolder::open(path, format::Copies::later))),
        model_of_(folder_),
        architecture_(architecture_of(folder_->config())) {
    check_expressible(model_of_, architecture_);
    tokenizer_ = read_tokenizer_section(
        path, model_of_.dimensions().vocab,
        format::read_generation_config(folder_->generation_config(), folder_->config()));
    notes_ = tokenizer_.notes;
    for (std::string& note : metadata_notes(model_of_)) notes_.push_back(std::move(note));
    model_.layers = model_of_.dimensions().layers;
    std::set<std::string> used;
    for (const graph::Node& node : model_of_.logits_graph()->nodes()) {
      if (node.kind == graph::NodeKind::weight) used.insert(node.name);
    }
    // Parsed again for where the tensors really lie: the folder has room for copies of unaligned ones.
    for (const auto& file : folder_->files()) {
      files_.push_back(file->path());
      for (const Tensor& tensor : format::parse_safetensors(file->bytes(), file->path()).tensors) {
        if (used.contains(tensor.name)) add(tensor, file->path());
      }
    }
    std::stable_sort(tensors_.begin(), tensors_.end(),
                     [](const SourceTensor& a, const SourceTensor& b) { return place(a) < place(b); });
    add_rope_divisors();
  }

  void write_metadata(GgufWriter& writer) const override {
    write_model_metadata(model_of_, architecture_, writer);
    write_tokenizer_section(tokenizer_, writer);
  }

 private:
  void add(const Tensor& tensor, const std::string& file) {
    const auto translated = format::gguf_tensor_name(architecture_, tensor.name);
    if (!translated) {
      fail(ErrorCode::unsupported, "{}: tensor '{}': GGUF has no name for it", file,
           format::printable(tensor.name));
    }
    SourceTensor source{.name = translated->name,
                        .source_name = tensor.name,
                        .file = file,
                        .dtype = tensor.dtype,
                        .shape = tensor.shape,
                        .bytes = tensor.bytes};
    if (architecture_.neighbour_rows && translated->rows != HeadRows::none) {
      source.order = SourceOrder::neighbours;
      source.head_rows = model_of_.dimensions().head_dim;
    }
    // GPT-2's linears (Conv1D) are stored [in, out].
    if (architecture_.name == "gpt2" && layer_of(source.name) >= 0 && source.shape.size() == 2) {
      source.order = SourceOrder::columns;
      std::swap(source.shape[0], source.shape[1]);
    }
    model_.has_output |= source.name == "output.weight";
    tensors_.push_back(std::move(source));
  }

  void add_rope_divisors() {
    if (architecture_.name == "gpt2") return;
    const format::RopeConfig rope = format::read_rope_config(folder_->config());
    if (rope.kind != format::RopeConfig::Kind::llama3) return;
    divisors_ = rope_divisors(rope, model_of_.dimensions().head_dim);
    tensors_.insert(tensors_.begin(), {.name = "rope_freqs.weight",
                                       .source_name = "rope_scaling",
                                       .file = folder_->config().file(),
                                       .dtype = DType::f32,
                                       .shape = {static_cast<int64_t>(divisors_.size())},
                                       .bytes = std::as_bytes(std::span(divisors_))});
  }

  std::shared_ptr<format::HfFolder> folder_;
  model::Model model_of_;
  const GgufArchitecture& architecture_;
  TokenizerSection tokenizer_;
  std::vector<float> divisors_;
};

}  // namespace

std::unique_ptr<QuantizeSource> open_hf_source(const std::string& folder) {
  return std::make_unique<HfSource>(folder);
}

}  // namespace ingot::api
