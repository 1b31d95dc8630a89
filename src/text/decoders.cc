#include "text/decoders.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/check.h"
#include "text/byte_level.h"
#include "text/pattern.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

constexpr std::string_view kSupported = "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip";
constexpr std::string_view kReplacement = "\uFFFD";

// A step that needs each token whole.
class TokenStep : public DecoderStep {
 public:
  explicit TokenStep(DecoderStep& next) : next_(next) {}
  void text(std::string_view part) override { token_ += part; }
  void end_token() override {
    token(token_);
    token_.clear();
  }

 protected:
  virtual void token(std::string_view token) = 0;
  void pass_on(std::string_view token) {
    next_.text(token);
    next_.end_token();
  }
  DecoderStep& next_;

 private:
  std::string token_;
};

// Bytes of the alphabet back to UTF-8. What could still become a character is held back.
class ByteLevelStep : public TokenStep {
 public:
  using TokenStep::TokenStep;

  void finish() override {
    next_.text(replace_invalid_utf8(bytes_));
    next_.end_token();
    next_.finish();
  }

 protected:
  void token(std::string_view token) override {
    const size_t before = bytes_.size();
    for (size_t pos = 0; pos < token.size();) {
      const CodePoint point = decode_utf8(token.data() + pos);
      const auto byte = alphabet_to_byte(point.value);
      if (!byte) {  // not in the alphabet: the token stands for itself
        bytes_.resize(before);
        bytes_ += token;
        break;
      }
      bytes_.push_back(static_cast<char>(*byte));
      pos += point.bytes;
    }
    size_t done = 0;
    while (done < bytes_.size()) {
      const Utf8Step step = scan_utf8(bytes_, done);
      if (step.kind == Utf8::incomplete) break;
      done += step.bytes;
    }
    next_.text(replace_invalid_utf8(std::string_view(bytes_).substr(0, done)));
    bytes_.erase(0, done);
  }

 private:
  std::string bytes_;
};

// Runs of tokens <0x..> back to text. A run with invalid UTF-8 becomes U+FFFD byte for byte, so a run is held
// back until it ends.
class ByteFallbackStep : public TokenStep {
 public:
  using TokenStep::TokenStep;

  void finish() override {
    flush();
    next_.finish();
  }

 protected:
  void token(std::string_view token) override {
    if (const auto byte = parse(token)) {
      run_.push_back(static_cast<char>(*byte));
      return;
    }
    flush();
    pass_on(token);
  }

 private:
  static std::optional<uint8_t> parse(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with(">")) return std::nullopt;
    const auto digit = [](char c) {
      if (c >= '0' && c <= '9') return c - '0';
      if (c >= 'a' && c <= 'f') return c - 'a' + 10;
      if (c >= 'A' && c <= 'F') return c - 'A' + 10;
      return -1;
    };
    const int low = digit(token[4]);
    if (token[3] == '+' && low >= 0)
      return static_cast<uint8_t>(low);  // tokenizers' number parser allows the sign
    const int high = digit(token[3]);
    if (high < 0 || low < 0) return std::nullopt;
    return static_cast<uint8_t>(high * 16 + low);
  }

  void flush() {
    if (run_.empty()) return;
    if (valid_utf8_prefix(run_) == run_.size()) {
      pass_on(run_);
    } else {
      for (size_t i = 0; i < run_.size(); ++i) pass_on(kReplacement);
    }
    run_.clear();
  }

  std::string run_;
};

// All tokens become one.
class FuseStep : public DecoderStep {
 public:
  explicit FuseStep(DecoderStep& next) : next_(next) {}
  void text(std::string_view part) override { next_.text(part); }
  void end_token() override {}
  void finish() override {
    next_.end_token();
    next_.finish();
  }

 private:
  DecoderStep& next_;
};

class ReplaceStep : public TokenStep {
 public:
  ReplaceStep(const Pattern& pattern, const std::string& replacement, DecoderStep& next)
      : TokenStep(next), pattern_(pattern), replacement_(replacement) {}
  void finish() override { next_.finish(); }

 protected:
  void token(std::string_view token) override {
    std::string out;
    pattern_.replace(token, replacement_, match_, out);
    pass_on(out);
  }

 private:
  const Pattern& pattern_;
  const std::string& replacement_;
  MatchState match_;
};

// The mark becomes a space; in the first token it goes, unless the scheme is "never".
class MetaspaceStep : public DecoderStep {
 public:
  MetaspaceStep(const std::string& mark, bool drops_first, DecoderStep& next)
      : mark_(mark), drop_(drops_first), next_(next) {}
  void text(std::string_view part) override {
    for (size_t pos = 0; pos < part.size();) {
      const size_t mark = std::min(part.find(mark_, pos), part.size());
      next_.text(part.substr(pos, mark - pos));
      if (mark == part.size()) break;
      if (!drop_) next_.text(" ");
      pos = mark + mark_.size();
    }
  }
  void end_token() override {
    drop_ = false;
    next_.end_token();
  }
  void finish() override { next_.finish(); }

 private:
  const std::string& mark_;
  bool drop_;
  DecoderStep& next_;
};

// Takes up to `start` of a character off the front of each token and up to `stop` off its end.
class StripStep : public DecoderStep {
 public:
  StripStep(const std::string& character, int64_t start, int64_t stop, DecoderStep& next)
      : character_(character), start_(start), stop_(stop), left_(start), next_(next) {}

  void text(std::string_view part) override {
    while (left_ > 0 && !part.empty()) {
      if (!part.starts_with(character_)) {
        left_ = 0;
        break;
      }
      part.remove_prefix(character_.size());
      --left_;
    }
    if (stop_ == 0) return next_.text(part);
    // Hold back what may be the end.
    size_t end = part.size();
    while (part.substr(0, end).ends_with(character_)) end -= character_.size();
    if (end > 0) release(held_);
    next_.text(part.substr(0, end));
    held_ += static_cast<int64_t>((part.size() - end) / character_.size());
    if (held_ > stop_) release(held_ - stop_);
  }
  void end_token() override {
    held_ = 0;
    left_ = start_;
    next_.end_token();
  }
  void finish() override { next_.finish(); }

 private:
  void release(int64_t count) {
    held_ -= count;
    for (; count > 0; --count) next_.text(character_);
  }

  const std::string& character_;
  int64_t start_;
  int64_t stop_;
  int64_t left_;  // how many may still go off this token's front
  int64_t held_ = 0;
  DecoderStep& next_;
};

class JoiningStep : public DecoderStep {
 public:
  explicit JoiningStep(DecoderStep& next) : next_(next) {}
  void text(std::string_view part) override {
    separate();
    next_.text(part);
  }
  void end_token() override {
    separate();
    in_token_ = false;
    first_ = false;
    next_.end_token();
  }
  void finish() override { next_.finish(); }

 private:
  void separate() {
    if (!in_token_ && !first_) next_.text(" ");
    in_token_ = true;
  }

  bool first_ = true;
  bool in_token_ = false;
  DecoderStep& next_;
};

using MakeStep = std::function<std::unique_ptr<DecoderStep>(DecoderStep& next)>;

class SingleDecoder : public Decoder {
 public:
  explicit SingleDecoder(MakeStep make) : make_(std::move(make)) {}
  void start(std::vector<std::unique_ptr<DecoderStep>>& chain) const override {
    chain.push_back(make_(*chain.back()));
  }

 private:
  MakeStep make_;
};

template <typename Step>
std::unique_ptr<Decoder> decoder_of() {
  return std::make_unique<SingleDecoder>([](DecoderStep& next) { return std::make_unique<Step>(next); });
}

class SequenceDecoder : public Decoder {
 public:
  explicit SequenceDecoder(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void start(std::vector<std::unique_ptr<DecoderStep>>& chain) const override {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) (*step)->start(chain);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

std::unique_ptr<Decoder> read_strip(const Settings& settings) {
  settings.allow_only({"content", "start", "stop"});
  std::string character;
  append_utf8(character, settings.character("content"));
  const int64_t start = settings.integer("start");
  const int64_t stop = settings.integer("stop");
  if (start < 0) settings.wrong("start", "0 or more");
  if (stop < 0) settings.wrong("stop", "0 or more");
  return std::make_unique<SingleDecoder>([character, start, stop](DecoderStep& next) {
    return std::make_unique<StripStep>(character, start, stop, next);
  });
}

std::unique_ptr<Decoder> read_metaspace(const Settings& settings) {
  settings.allow_only({"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
  std::string mark;
  append_utf8(mark, settings.character("replacement"));
  const bool prefix = settings.boolean("add_prefix_space", true);
  const bool drops = settings.string("prepend_scheme", prefix ? "always" : "never") != "never";
  return std::make_unique<SingleDecoder>(
      [mark, drops](DecoderStep& next) { return std::make_unique<MetaspaceStep>(mark, drops, next); });
}

}  // namespace

std::unique_ptr<Decoder> make_joining_decoder() {
  return decoder_of<JoiningStep>();
}

std::unique_ptr<Decoder> read_decoder(const Settings& settings) {
  const std::string type = settings.type();
  if (type == "ByteLevel") {
    settings.allow_only({"add_prefix_space", "trim_offsets", "use_regex"});
    return decoder_of<ByteLevelStep>();
  }
  if (type == "ByteFallback") {
    settings.allow_only({});
    return decoder_of<ByteFallbackStep>();
  }
  if (type == "Fuse") {
    settings.allow_only({});
    return decoder_of<FuseStep>();
  }
  if (type == "Strip") return read_strip(settings);
  if (type == "Metaspace") return read_metaspace(settings);
  if (type == "Replace") {
    settings.allow_only({"pattern", "content"});
    auto pattern = std::make_shared<const Pattern>(Pattern::read(settings));
    return std::make_unique<SingleDecoder>(
        [pattern, content = settings.string("content")](DecoderStep& next) {
          return std::make_unique<ReplaceStep>(*pattern, content, next);
        });
  }
  if (type == "Sequence") {
    settings.allow_only({"decoders"});
    std::vector<std::unique_ptr<Decoder>> steps;
    for (const Settings& step : settings.objects("decoders")) steps.push_back(read_decoder(step));
    return std::make_unique<SequenceDecoder>(std::move(steps));
  }
  settings.unsupported_type("decoder", kSupported);
}

}  // namespace ingot::text
