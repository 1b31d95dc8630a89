#include "text/normalizers.h"

#include <utility>
#include <vector>

#include "text/normal_form.h"
#include "text/pattern.h"

namespace ingot::text {
namespace {

constexpr std::string_view kSupported = "NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence";

class NormalFormNormalizer : public Normalizer {
 public:
  explicit NormalFormNormalizer(NormalForm form) : form_(form) {}
  void apply(std::string& text, MatchState&) const override { text = to_normal_form(text, form_); }

 private:
  NormalForm form_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(std::string& text, MatchState&) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string replacement)
      : pattern_(std::move(pattern)), replacement_(std::move(replacement)) {}
  void apply(std::string& text, MatchState& state) const override {
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    pattern_.replace(text, replacement_, state, out);
    text = std::move(out);
  }

 private:
  Pattern pattern_;
  std::string replacement_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(std::string& text, MatchState& state) const override {
    for (const auto& step : steps_) step->apply(text, state);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Settings& settings) {
  const std::string type = settings.type();
  const std::pair<std::string_view, NormalForm> forms[] = {{"NFC", NormalForm::nfc},
                                                           {"NFD", NormalForm::nfd},
                                                           {"NFKC", NormalForm::nfkc},
                                                           {"NFKD", NormalForm::nfkd}};
  for (const auto& [name, form] : forms) {
    if (type != name) continue;
    settings.allow_only({});
    return std::make_unique<NormalFormNormalizer>(form);
  }
  if (type == "Prepend") {
    settings.allow_only({"prepend"});
    return std::make_unique<Prepend>(settings.string("prepend"));
  }
  if (type == "Replace") {
    settings.allow_only({"pattern", "content"});
    return std::make_unique<Replace>(Pattern::read(settings), settings.string("content"));
  }
  if (type == "Sequence") {
    settings.allow_only({"normalizers"});
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const Settings& step : settings.objects("normalizers")) steps.push_back(read_normalizer(step));
    return std::make_unique<Sequence>(std::move(steps));
  }
  settings.unsupported_type("normalizer", kSupported);
}

}  // namespace ingot::text
