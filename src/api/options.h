// What options may say, checked before anything is opened.
#pragma once

#include "ingot/llm.h"

namespace ingot::api {

/// Errors: invalid_argument that names the option, what was expected and what was found: a device that does
/// not exist or is listed twice, one that `layers` or `memory` name and `devices` does not. What the other
/// options name, exec::compile checks.
void check(const CompileOptions& options);
/// The same of its compile options, and the number of sequences.
void check(const LoadOptions& options);

/// Errors: invalid_argument for a range beyond the model's layers.
void check_layers(const CompileOptions& options, int64_t layers);

}  // namespace ingot::api
