#include <algorithm>

#include "api/llm_impl.h"
#include "api/load_tokenizer.h"
#include "api/open.h"
#include "backend/registry.h"
#include "base/check.h"

namespace ingot {
namespace {

void check_vocabulary(const text::Tokenizer& tokenizer, const model::Model& model) {
  const auto tokens = static_cast<int64_t>(tokenizer.vocab_size());
  const int64_t rows = model.dimensions().vocab;
  if (tokens > rows) {
    fail(ErrorCode::invalid_file, "{}: the tokenizer has ids up to {}, the model's embedding only {} rows",
         model.checkpoint().gguf() == nullptr ? model.checkpoint().file_path("tokenizer.json")
                                              : model.checkpoint().path(),
         tokens - 1, rows);
  }
}

ModelInfo describe(const model::Model& model, const text::Tokenizer* tokenizer,
                   const format::GenerationConfig& defaults) {
  const model::Dimensions& d = model.dimensions();
  ModelInfo info;
  info.folder = model.checkpoint().path();
  info.architecture = model.architecture().name();
  info.notes = model.architecture().notes();
  info.parameters = model.parameters();
  info.parameters_by_dtype = model.parameters_by_dtype();
  info.vocab = d.vocab;
  info.hidden = d.hidden;
  info.layers = d.layers;
  info.heads = d.heads;
  info.kv_heads = d.kv_heads;
  info.head_dim = d.head_dim;
  info.max_context = d.max_positions;
  if (tokenizer != nullptr) {
    info.tokenizer_tokens = static_cast<int64_t>(tokenizer->vocab_size());
    info.has_chat_template = tokenizer->has_chat_template();
    info.bos = tokenizer->bos_id();
  }
  const auto add_eos = [&](int64_t id) {
    const auto token = static_cast<int32_t>(id);
    if (id < d.vocab && std::find(info.eos.begin(), info.eos.end(), token) == info.eos.end()) {
      info.eos.push_back(token);
    }
  };
  if (defaults.bos_token_id && *defaults.bos_token_id < d.vocab)
    info.bos = static_cast<int32_t>(*defaults.bos_token_id);
  for (int64_t id : defaults.eos_token_ids) add_eos(id);
  if (tokenizer != nullptr && info.eos.empty()) {
    if (const auto eos = tokenizer->eos_id()) add_eos(*eos);
  }
  for (const format::Tensor& tensor : model.checkpoint().tensors()) {
    info.tensors.push_back({.name = tensor.name,
                            .dtype = tensor.dtype,
                            .shape = tensor.shape,
                            .file = model.checkpoint().file(tensor)->path()});
  }
  return info;
}

}  // namespace

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::eos:
      return "eos";
    case FinishReason::length:
      return "length";
    case FinishReason::context:
      return "context";
    case FinishReason::stop:
      return "stop";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string_view version() {
  return INGOT_VERSION;
}
std::vector<std::string> devices() {
  return backend::backend_names();
}

LLM::LLM(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLM::~LLM() = default;
LLM::LLM(LLM&&) noexcept = default;
LLM& LLM::operator=(LLM&&) noexcept = default;

LLM LLM::load(const std::string& path, const LoadOptions& options) {
  api::Opened opened = api::open(path, options);
  auto impl = std::make_unique<Impl>();
  const api::MemoryPlanner planner(*opened.model, opened.devices, options.compile, &impl->plans);
  impl->notes = planner.expect_fit(opened.context, options.sequences);
  impl->options = options;
  impl->devices = std::move(opened.devices);
  impl->model = std::move(opened.model);
  impl->context = opened.context;
  impl->tokenizer = api::load_tokenizer(*opened.checkpoint);
  if (impl->tokenizer) check_vocabulary(*impl->tokenizer, *impl->model);
  impl->defaults =
      format::read_generation_config(opened.checkpoint->generation_config(), opened.checkpoint->config());
  impl->info = describe(*impl->model, impl->tokenizer.get(), impl->defaults);
  impl->program_bytes = api::resident_bytes();
  opened.checkpoint->make_copies();
  return LLM(std::move(impl));
}

const text::Tokenizer& LLM::Impl::text() const {
  if (!tokenizer) {
    fail(ErrorCode::unsupported, "{}: the file brings no tokenizer, so text cannot be read or written",
         model->checkpoint().path());
  }
  return *tokenizer;
}

serve::Engine& LLM::Impl::get_engine() {
  if (!engine) {
    engine = within_memory([&] {
      return std::make_unique<serve::Engine>(model, devices.devices, limits(), options.compile,
                                             devices.missing, &plans);
    });
  }
  return *engine;
}

serve::Stepper LLM::Impl::make_stepper(serve::Head head, const serve::StepperLimits& limits) {
  return within_memory([&] {
    return serve::Stepper(model, devices.devices, head, limits, options.compile, devices.missing, &plans);
  });
}

bool LLM::Impl::take_less_memory(std::string_view why) {
  const backend::Limits of = backend().limits();
  if (options.compile.strict || of.shares_host_memory || devices.devices.size() < 2) return false;
  const std::string& name = devices.devices.front().name;
  int64_t& most = options.compile.memory.try_emplace(name, of.memory_bytes).first->second;
  most -= most / 4;
  notes.push_back(fmt::format("{}; planned again for at most {} on {}", why, api::bytes_text(most), name));
  return true;
}

const ModelInfo& LLM::info() const {
  return impl_->info;
}
std::string LLM::device() const {
  return impl_->backend().limits().device;
}
std::vector<std::string> LLM::notes() const {
  return impl_->notes;
}
int64_t LLM::context() const {
  return impl_->context;
}

MemoryPlan LLM::memory() const {
  const api::MemoryPlanner planner(*impl_->model, impl_->devices, impl_->options.compile, &impl_->plans);
  MemoryPlan plan = planner.plan(impl_->context, impl_->options.sequences);
  for (DeviceMemoryPlan& device : plan.devices) {
    if (device.program > 0) device.program = impl_->program_bytes;
  }
  return plan;
}

std::vector<int32_t> LLM::encode(std::string_view text, bool add_special_tokens) const {
  return impl_->text().encode(text, add_special_tokens);
}

std::string LLM::decode(std::span<const int32_t> tokens, bool skip_special_tokens) const {
  return impl_->text().decode(tokens, skip_special_tokens);
}

std::string LLM::token(int32_t id) const {
  return std::string(impl_->text().id_to_token(id));
}

}  // namespace ingot
