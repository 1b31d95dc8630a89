#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "api/llm_impl.h"
#include "api/options.h"
#include "backend/registry.h"
#include "base/check.h"

namespace ingot {
namespace {

int64_t choose_context(int64_t asked, int64_t most) {
  if (asked == 0) return std::min(most, kDefaultContext);
  if (asked < 2 || asked > most) {
    fail(ErrorCode::invalid_argument, "context: expected 2 to {} tokens (the model's own limit), found {}",
         most, asked);
  }
  return asked;
}

void check_vocabulary(const text::Tokenizer& tokenizer, const model::Model& model) {
  const auto tokens = static_cast<int64_t>(tokenizer.vocab_size());
  const int64_t rows = model.dimensions().vocab;
  if (tokens > rows) {
    fail(ErrorCode::invalid_file, "{}: the tokenizer has ids up to {}, the model's embedding only {} rows",
         model.folder().file_path("tokenizer.json"), tokens - 1, rows);
  }
}

ModelInfo describe(const model::Model& model, const text::Tokenizer& tokenizer,
                   const format::GenerationConfig& defaults) {
  const model::Dimensions& d = model.dimensions();
  ModelInfo info;
  info.folder = model.folder().path();
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
  info.tokenizer_tokens = static_cast<int64_t>(tokenizer.vocab_size());
  info.has_chat_template = tokenizer.has_chat_template();
  const auto add_eos = [&](int64_t id) {
    const auto token = static_cast<int32_t>(id);
    if (id < d.vocab && std::find(info.eos.begin(), info.eos.end(), token) == info.eos.end()) {
      info.eos.push_back(token);
    }
  };
  info.bos = tokenizer.bos_id();
  if (defaults.bos_token_id && *defaults.bos_token_id < d.vocab)
    info.bos = static_cast<int32_t>(*defaults.bos_token_id);
  for (int64_t id : defaults.eos_token_ids) add_eos(id);
  if (const auto eos = tokenizer.eos_id(); eos && info.eos.empty()) add_eos(*eos);
  for (const format::Tensor& tensor : model.folder().tensors()) {
    info.tensors.push_back({.name = tensor.name,
                            .dtype = tensor.dtype,
                            .shape = tensor.shape,
                            .file = model.folder().file(tensor)->path()});
  }
  return info;
}

}  // namespace

namespace api {

int64_t resident_bytes() {
  // Fields in pages: total, resident, shared (resident pages of files).
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  if (!(file >> total >> resident)) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace api

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

LLM LLM::load(const std::string& folder, const LoadOptions& options) {
  api::check(options);
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->devices = api::make_devices(options.compile);
  auto files = std::make_shared<const format::HfFolder>(format::HfFolder::open(folder));
  impl->model = std::make_shared<const model::Model>(files);
  impl->tokenizer = std::make_unique<text::Tokenizer>(text::Tokenizer::load(folder));
  api::check_layers(options.compile, impl->model->dimensions().layers);
  check_vocabulary(*impl->tokenizer, *impl->model);
  impl->defaults = format::read_generation_config(files->generation_config(), files->config());
  impl->context = choose_context(options.context, impl->model->dimensions().max_positions);
  impl->info = describe(*impl->model, *impl->tokenizer, impl->defaults);
  impl->program_bytes = api::resident_bytes();
  return LLM(std::move(impl));
}

serve::StepperLimits LLM::Impl::limits() const {
  return {.sequences = options.sequences,
          .context = context,
          .prefill_tokens = std::min(api::kPrefillTokens, context),
          .cache_tokens = 0,
          .prefill_rows = 0};
}

serve::Engine& LLM::Impl::get_engine() {
  if (!engine) engine = std::make_unique<serve::Engine>(model, backend(), limits());
  return *engine;
}

const ModelInfo& LLM::info() const {
  return impl_->info;
}
std::string LLM::device() const {
  return impl_->backend().limits().device;
}
std::vector<std::string> LLM::notes() const {
  std::vector<std::string> notes;
  for (const exec::PassedOver& missing : impl_->devices.missing) {
    notes.push_back(fmt::format("device '{}' is passed over: {}", missing.device, missing.reason));
  }
  return notes;
}
int64_t LLM::context() const {
  return impl_->context;
}

MemoryPlan LLM::memory() const {
  serve::Stepper& stepper = impl_->get_engine().stepper();
  return {.context = impl_->context,
          .weights = impl_->model->weight_bytes(),
          .kv_cache = stepper.cache().bytes(),
          .activations = static_cast<int64_t>(stepper.runner_bytes()),
          .program = impl_->program_bytes};
}

std::vector<int32_t> LLM::encode(std::string_view text, bool add_special_tokens) const {
  return impl_->tokenizer->encode(text, add_special_tokens);
}

std::string LLM::decode(std::span<const int32_t> tokens, bool skip_special_tokens) const {
  return impl_->tokenizer->decode(tokens, skip_special_tokens);
}

std::string LLM::token(int32_t id) const {
  return std::string(impl_->tokenizer->id_to_token(id));
}

}  // namespace ingot
