#include "exec/tuning.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/whole_file.h"

namespace ingot::exec {
namespace {

constexpr size_t kMostBytes = size_t{4} << 20;  // far beyond any machine

/// The file's entries; none, and said, where it is not to be read.
std::vector<Tuning> read_all(const std::string& path, const TuningOptions& options) {
  try {
    const std::optional<std::string> text = read_whole_file(path, kMostBytes);
    return text ? parse_tunings(*text) : std::vector<Tuning>{};
  } catch (const Error& error) {
    if (options.notice) options.notice(fmt::format("tuning: {}: ignored: {}", path, error.what()));
    return {};
  }
}

std::string path_of(const TuningOptions& options) {
  return options.path.empty() ? default_tuning_path() : options.path;
}

}  // namespace

std::string default_tuning_path() {
  return cache_path(fmt::format("tuning-v{}.json", kTuningVersion));
}

void load_tuning(backend::Backend& backend, const TuningOptions& options) {
  const std::string path = path_of(options);
  if (path.empty()) return;
  const CalibrationIdentity identity = identity_of(backend);
  for (const Tuning& tuning : read_all(path, options)) {
    if (!same_place(tuning.identity, identity)) continue;
    std::string why = difference(tuning.identity, identity);
    if (why.empty()) {
      try {
        return backend.use_forms(tuning.forms);
      } catch (const Error& error) {
        why = error.what();
      }
    }
    if (options.notice) options.notice(fmt::format("tuning: {}: ignored: {}", path, why));
    return;
  }
}

std::string keep_tuning(backend::Backend& backend, std::span<const backend::TunedForm> found,
                        const TuningOptions& options) {
  const auto notice = [&](const std::string& line) {
    if (options.notice) options.notice(line);
  };
  std::string path = path_of(options);
  if (path.empty()) {
    notice("tuning: neither XDG_CACHE_HOME nor HOME names a folder: it holds for this run only");
    return {};
  }
  const CalibrationIdentity identity = identity_of(backend);
  std::vector<Tuning> tunings = read_all(path, options);
  Tuning own{.identity = identity, .forms = {found.begin(), found.end()}};
  for (const Tuning& tuning : tunings) {
    if (tuning.identity != identity) continue;
    for (const backend::TunedForm& form : tuning.forms) {
      const auto is_same = [&](const backend::TunedForm& other) { return other.shape == form.shape; };
      if (std::ranges::none_of(found, is_same)) own.forms.push_back(form);
    }
  }
  std::erase_if(tunings, [&](const Tuning& tuning) { return same_place(tuning.identity, identity); });
  tunings.push_back(std::move(own));
  try {
    replace_whole_file(path, tunings_text(tunings));
    return path;
  } catch (const Error& error) {
    notice(fmt::format("tuning: {}: {}: it holds for this run only", path, error.what()));
    return {};
  }
}

}  // namespace ingot::exec
