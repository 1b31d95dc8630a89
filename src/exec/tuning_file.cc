#include "exec/tuning_file.h"

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "exec/identity_json.h"
#include "exec/json_object.h"

namespace ingot::exec {
namespace {

using nlohmann::json;

// Far beyond any machine; what exceeds them is damage.
constexpr size_t kMostEntries = 256;
constexpr size_t kMostForms = 4096;
constexpr double kMostMicroseconds = 1e9;

Tuning read_entry(const json& value) {
  const JsonObject entry(value, "tuning");
  Tuning tuning{.identity = read_identity(entry.object("identity")), .forms = {}};
  for (const json& form : entry.list("forms", kMostForms)) {
    const JsonObject object(form, "tuning.forms");
    tuning.forms.push_back({.shape = object.text("shape"),
                            .form = object.text("form"),
                            .rule = object.text("rule"),
                            .step_us = object.number("step_us", 0, kMostMicroseconds),
                            .rule_us = object.number("rule_us", 0, kMostMicroseconds)});
  }
  return tuning;
}

}  // namespace

std::vector<Tuning> parse_tunings(std::string_view text) {
  const json file = parse_versioned(text, kTuningVersion);
  std::vector<Tuning> tunings;
  for (const json& entry : JsonObject(file, "the file").list("tunings", kMostEntries))
    tunings.push_back(read_entry(entry));
  return tunings;
}

std::string tunings_text(std::span<const Tuning> tunings) {
  json list = json::array();
  for (const Tuning& tuning : tunings) {
    json forms = json::array();
    for (const backend::TunedForm& form : tuning.forms) {
      forms.push_back({{"shape", form.shape},
                       {"form", form.form},
                       {"rule", form.rule},
                       {"step_us", form.step_us},
                       {"rule_us", form.rule_us}});
    }
    list.push_back({{"identity", identity_json(tuning.identity)}, {"forms", forms}});
  }
  const json file = {{"version", kTuningVersion}, {"tunings", list}};
  return file.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace ingot::exec
