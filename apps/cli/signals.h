// Ctrl-C, and files that shrink while they are mapped.
#pragma once

#include <string>

namespace ingot::cli {

void install_signal_handlers();

/// The checkpoint to name if reading a mapped file fails (SIGBUS). Keeps a copy.
void name_checkpoint(const std::string& folder);

}  // namespace ingot::cli
