// What options may say, checked before anything is opened.
#pragma once

#include <string>
#include <vector>

#include "ingot/llm.h"

namespace ingot::api {

/// Errors: invalid_argument that names the option, what was expected and what was found: a device that does
/// not exist or is listed twice, one that `layers` or `memory` name and `devices` does not. What the other
/// options name, exec::compile checks.
void check(const CompileOptions& options);
/// Errors: invalid_argument for a device that `layers` or `memory` name and that is none of these.
void check_uses(const CompileOptions& options, const std::vector<std::string>& devices);
/// The same of its compile options, and the number of sequences.
void check(const LoadOptions& options);

/// Errors: invalid_argument for a range beyond the model's layers.
void check_layers(const CompileOptions& options, int64_t layers);

}  // namespace ingot::api
