// A GGUF file's metadata as the configs of a Hugging Face folder, so that one reading serves both.
//
// Numbers that converters wrote as f32 are taken as the decimal they stand for: 1e-05 is 1e-05 again, and the
// model computes with the very values of its config.json.
#pragma once

#include <span>

#include "format/config.h"
#include "format/gguf_metadata.h"
#include "format/gguf_names.h"
#include "format/safetensors.h"

namespace ingot::format {

/// The architecture that the file names. Errors: unsupported for one that Ingot lacks, and for files that
/// hold no model (adapters, projectors).
const GgufArchitecture& read_gguf_architecture(const GgufMetadata& metadata);

/// config.json's keys. `tensors` are under the format's names. Errors: invalid_file for missing or
/// out-of-range values; unsupported for keys that change what the model computes and that Ingot does not
/// know.
Config translate_config(const GgufMetadata& metadata, const GgufArchitecture& architecture,
                        std::span<const Tensor> tensors);

/// generation_config.json's keys: token ids from the tokenizer's section, sampling where the file recommends
/// it.
Config translate_generation_config(const GgufMetadata& metadata);

}  // namespace ingot::format
