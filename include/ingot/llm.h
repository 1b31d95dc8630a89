// The LLM API: load a published checkpoint, write text, look inside.
//
// An LLM owns its weights' mappings, its device and its KV cache. It is used by one thread at a time; several
// LLMs may live side by side. Every function throws ingot::Error and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/compile_options.h"
#include "ingot/dtype.h"
#include "ingot/error.h"
#include "ingot/explain.h"
#include "ingot/tune.h"

namespace ingot {

/// The context that load() chooses at most when none is asked for: longer ones cost memory.
inline constexpr int64_t kDefaultContext = 4096;

/// The most sequences that a step takes.
inline constexpr int64_t kMaxSequences = 1024;

struct LoadOptions {
  CompileOptions compile = {};
  int64_t context = 0;    // tokens; 0: the model's own, at most kDefaultContext
  int64_t sequences = 1;  // that memory is set aside for
};

/// What to do with logits. Absent values come from the checkpoint's generation_config.json. The filters run
/// in this order: penalties, temperature, top-k, top-p, min-p.
struct SamplingOptions {
  std::optional<float> temperature;         // 0: greedy
  std::optional<int32_t> top_k;             // 0: off
  std::optional<float> top_p;               // 1: off
  std::optional<float> min_p;               // 0: off
  std::optional<float> repetition_penalty;  // 1: off
  std::optional<float> frequency_penalty;   // 0: off
  std::optional<float> presence_penalty;    // 0: off
  std::optional<uint64_t> seed;             // absent: random, and reported
};

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_tokens = 0;  // 0: the checkpoint's max_new_tokens, or none: to the end of text or context
  std::vector<std::string> stop;  // the text ends before the first of these
  bool ignore_eos = false;
};

enum class FinishReason : uint8_t {
  eos,        // the model ended the text
  length,     // max_tokens
  context,    // the context is full
  stop,       // a stop string
  cancelled,  // the callback said so
};
std::string_view to_string(FinishReason reason);

/// Sampling as it ran: every default filled in.
struct SamplingUsed {
  float temperature = 0;
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  uint64_t seed = 0;
};

struct GenerateResult {
  std::string text;             // what the callback got, in one piece
  std::vector<int32_t> tokens;  // generated ones, a final end-of-text token included
  FinishReason finish = FinishReason::eos;
  SamplingUsed sampling;
  int64_t prompt_tokens = 0;
  double prefill_seconds = 0;  // until the first token
  double decode_seconds = 0;   // from the first token to the last
};

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::string file;
};

struct ModelInfo {
  std::string folder;
  std::string architecture;
  std::vector<std::string> notes;  // options: "rope llama3 x32", "tied embeddings"
  int64_t parameters = 0;
  std::map<DType, int64_t> parameters_by_dtype;
  int64_t vocab = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_context = 0;  // what the model was made for
  int64_t tokenizer_tokens = 0;
  bool has_chat_template = false;
  std::optional<int32_t> bos;
  std::vector<int32_t> eos;
  std::vector<TensorInfo> tensors;
};

/// Bytes by purpose on one device.
struct DeviceMemoryPlan {
  std::string name;              // "cpu"; "host" for memory that no device of the plan computes in
  std::string device;            // as people know it, with its threads
  int64_t weights = 0;           // of the CPU: mapped from the checkpoint, resident as they are read
  int64_t kv_cache = 0;          // for the whole context of every sequence; touched as it fills
  int64_t token_counts = 0;      // of every sequence, for penalties
  int64_t activations = 0;       // the arena of intermediate values
  int64_t activations_live = 0;  // most of them alive at once: no arena can be smaller
  int64_t workspace = 0;         // of the kernel that needs most
  int64_t step_inputs = 0;
  int64_t program = 0;    // code, graph and, once loaded, the tokenizer; measured
  int64_t capacity = 0;   // what there is, or the cap of CompileOptions::memory; 0: not known
  int64_t available = 0;  // of that now; 0: not known
  int64_t total() const {
    return weights + kv_cache + token_counts + activations + workspace + step_inputs + program;
  }
};

/// What a model takes, and what else would fit.
struct MemoryPlan {
  int64_t context = 0;
  int64_t sequences = 1;
  std::vector<DeviceMemoryPlan> devices;
  std::vector<std::string> notes;  // devices passed over, and why: a sentence each
  /// The largest context that fits with these sequences, at most the model's; the most sequences that fit at
  /// this context, at most kMaxSequences.
  int64_t largest_context = 0;
  int64_t most_sequences = 0;
  int64_t total() const;
};

/// A device's pool of memory for arenas and step inputs. (Weights and KV cache lie outside it.)
struct PoolStatistics {
  std::string device;
  int64_t weight_bytes = 0;   // brought to a device with memory of its own
  double weight_seconds = 0;  // that this took
  int weight_threads = 0;     // of the host, that read them
  int64_t in_use_bytes = 0;
  int64_t cached_bytes = 0;  // waiting for reuse
  int64_t peak_bytes = 0;    // most ever in use at once
  int64_t hits = 0;          // requests served by a waiting block
  int64_t misses = 0;        // requests that went to the device
  int64_t evictions = 0;     // blocks given back to stay within a limit
};

/// What an LLM has done and holds. Steps, launches and transfers are those of generate(), all calls together.
struct Statistics {
  std::vector<PoolStatistics> pools;  // by device
  int64_t kv_page_tokens = 0;         // tokens of a page
  int64_t kv_pages = 0;               // of the cache
  int64_t kv_pages_used = 0;          // now
  int64_t kv_pages_peak = 0;          // most ever used at once
  int64_t steps = 0;
  int64_t launches = 0;
  int64_t transfers = 0;    // copies between devices
  int64_t bytes_moved = 0;  // by them
  int64_t prefill_step_launches = 0;
  int64_t decode_step_launches = 0;
  int64_t prefill_step_launches_unfused = 0;  // of the same model with every fusion pass off
  int64_t decode_step_launches_unfused = 0;
  int64_t plan_cache_hits = 0;
  int64_t plan_cache_misses = 0;  // plans compiled
  int64_t plan_cache_entries = 0;
};

struct PerplexityOptions {
  int64_t window = 0;  // tokens a window; 0: the context
  int64_t stride = 0;  // tokens from a window to the next; 0: half the window
};

/// Perplexity by the strided method: windows begin every `stride` tokens; each scores the tokens that no
/// window before it did. The first token of the text, and of a window that overlaps none, is never scored.
struct PerplexityResult {
  double perplexity = 0;
  double nll = 0;  // summed over scored tokens, nats
  int64_t scored_tokens = 0;
  int64_t bytes = 0;  // of the text
  int64_t window = 0;
  int64_t stride = 0;
  double seconds = 0;
};

struct BenchOptions {
  int64_t prompt_tokens = 512;
  int64_t generate_tokens = 64;  // of each sequence
  int repetitions = 3;           // the median counts
  int64_t sequences = 1;         // decoded together, each behind a prompt of its own
};

/// One kind of step against a limit measured before each repetition. All are medians. A model that a cache
/// holds can decode faster than memory reads: its share then exceeds 1.
struct BenchPart {
  int64_t tokens = 0;  // of all sequences
  double seconds = 0;
  double tokens_per_second = 0;
  double achieved = 0;        // prefill: GFLOP/s; decode: GB/s of weights, keys and values
  double limit = 0;           // prefill: multiply-add peak, G/s; decode: read bandwidth of memory, GB/s
  double share_of_limit = 0;  // median of achieved / limit, repetition by repetition
};

struct BenchResult {
  std::string device;
  BenchPart prefill;  // of one sequence
  std::string
      prefill_unit;  // of its limit: "GFLOP/s"; "GOP/s" of 8-bit integers for weights in block formats
  BenchPart decode;  // of all sequences together
  // Of the decode steps:
  int64_t sequences = 1;
  double step_seconds = 0;       // one token of each sequence, median
  double step_weight_bytes = 0;  // that a step reads
  double step_kv_bytes = 0;      // the same of keys and values, on average over the steps
};

/// What load() would take with these options. Reads configs and the headers of weight files; no weight is
/// read and nothing is set aside. Errors: those of load().
MemoryPlan plan_memory(const std::string& path, const LoadOptions& options = {});

class LLM {
 public:
  /// Loads a Hugging Face folder or a GGUF file as published. Errors: not_found, invalid_file, unsupported,
  /// invalid_argument for an option outside its range or a model that cannot fit the memory of its devices
  /// (what would fit is named), out_of_memory, io.
  static LLM load(const std::string& path, const LoadOptions& options = {});
  ~LLM();
  LLM(LLM&&) noexcept;
  LLM& operator=(LLM&&) noexcept;

  const ModelInfo& info() const;
  /// The device as people know it, with its threads.
  std::string device() const;
  int64_t context() const;
  /// What was asked for and passed over, and why: a sentence each. Empty when everything went as asked.
  std::vector<std::string> notes() const;
  MemoryPlan memory() const;
  Statistics statistics() const;

  /// Token ids; with the special tokens that the tokenizer puts around a text, if asked for.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens = true) const;
  std::string decode(std::span<const int32_t> tokens, bool skip_special_tokens = true) const;
  /// The token as tokenizer.json spells it.
  std::string token(int32_t id) const;

  /// Continues `prompt`; without one, starts from the checkpoint's BOS token. `on_text` gets each piece of
  /// text as it is final, always whole characters; false ends the generation. Errors: invalid_argument for an
  /// empty prompt, one that fills the context, no BOS where it is needed, or sampling options outside their
  /// range.
  GenerateResult generate(std::optional<std::string_view> prompt, const GenerateOptions& options = {},
                          const std::function<bool(std::string_view piece)>& on_text = {});

  /// `progress` gets scored and total tokens; false cancels (Error{invalid_argument} "cancelled").
  PerplexityResult perplexity(std::string_view text, const PerplexityOptions& options = {},
                              const std::function<bool(int64_t done, int64_t total)>& progress = {});

  /// Errors: invalid_argument for counts outside their range or the context, out_of_memory for sequences
  /// whose cache does not fit.
  BenchResult bench(const BenchOptions& options = {});

  /// What a step runs where, why, and how close to the limit. Errors: invalid_argument for sizes outside the
  /// context, out_of_memory for a batch whose cache does not fit.
  Explanation explain(const ExplainOptions& options = {});

  /// Finds the fastest forms of the devices' kernels for a step that generates a token, and keeps them in a
  /// file, which later loads read; steps that were recorded before stay as they are. Errors: invalid_argument
  /// for sizes outside the context, out_of_memory for a batch whose cache does not fit.
  TuneReport tune(const TuneOptions& options = {});

 private:
  struct Impl;
  explicit LLM(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// "0.1.0"
std::string_view version();
/// The devices of this build.
std::vector<std::string> devices();

}  // namespace ingot
