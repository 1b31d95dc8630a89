// The configs of a Hugging Face folder as GGUF's metadata, in the keys and types that published converters
// write.
//
// Pure functions, thread safe.
#pragma once

#include <string>
#include <vector>

#include "format/checkpoint.h"
#include "format/gguf_names.h"
#include "format/gguf_writer.h"
#include "format/rope_config.h"
#include "model/model.h"

namespace ingot::api {

/// What GGUF cannot say of this model, found before anything is written. Errors: unsupported, naming the key.
void check_expressible(const model::Model& model, const format::GgufArchitecture& architecture);

/// general.* but for the type of the file, the architecture's keys, and recommended sampling. What
/// generation_config.json says and GGUF does not is appended to `notes`.
void write_model_metadata(const model::Model& model, const format::GgufArchitecture& architecture,
                          format::GgufWriter& writer);

/// A sentence for each thing that GGUF has no words for and that does not change the model.
std::vector<std::string> metadata_notes(const model::Model& model);

/// llama3's scaling as GGUF has it: what each pair's frequency is divided by, the tensor rope_freqs.weight.
std::vector<float> rope_divisors(const format::RopeConfig& rope, int64_t rotary_dims);

}  // namespace ingot::api
