#include "text/pre_tokenizers.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/byte_level.h"
#include "text/pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

constexpr std::string_view kSupported = "ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split";

// GPT-2's split (Radford et al. 2019, encoder.py).
constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior read_behavior(const Settings& settings) {
  const std::string name = settings.string("behavior");
  const std::pair<std::string_view, Behavior> known[] = {
      {"Removed", Behavior::removed},
      {"Isolated", Behavior::isolated},
      {"MergedWithPrevious", Behavior::merged_with_previous},
      {"MergedWithNext", Behavior::merged_with_next},
      {"Contiguous", Behavior::contiguous},
  };
  for (const auto& [known_name, behavior] : known) {
    if (name == known_name) return behavior;
  }
  fail(ErrorCode::unsupported,
       "{}: behavior '{}' is not supported; supported are Removed, Isolated, MergedWithPrevious, "
       "MergedWithNext, "
       "Contiguous",
       settings.place(), name);
}

// Cuts a piece along the delimiters it is told of, from left to right.
class Cutter {
 public:
  Cutter(Piece piece, Behavior behavior, bool invert, PieceSink sink)
      : piece_(piece), behavior_(behavior), invert_(invert), sink_(sink) {}

  void delimiter(Match match) {
    if (seen_ < match.begin) part(seen_, match.begin, invert_);
    part(match.begin, match.end, !invert_);
    seen_ = match.end;
  }

  void finish() {
    if (seen_ < piece_.text.size()) part(seen_, piece_.text.size(), invert_);
    flush();
  }

 private:
  // The parts cover the text; neighbours merge or not, by the behavior.
  void part(size_t begin, size_t end, bool is_delimiter) {
    bool joins = false;
    switch (behavior_) {
      case Behavior::removed:
      case Behavior::isolated:
        break;
      case Behavior::contiguous:
        joins = is_delimiter == last_delimiter_;
        break;
      case Behavior::merged_with_previous:
        joins = is_delimiter && !last_delimiter_;
        break;
      case Behavior::merged_with_next:
        joins = !is_delimiter && last_delimiter_;
        break;
    }
    last_delimiter_ = is_delimiter;
    if (joins && open_) {
      open_end_ = end;
      return;
    }
    flush();
    if (behavior_ == Behavior::removed && is_delimiter) return;
    open_ = true;
    open_begin_ = begin;
    open_end_ = end;
  }

  void flush() {
    if (open_ && open_begin_ < open_end_) {
      sink_({piece_.text.substr(open_begin_, open_end_ - open_begin_), piece_.at_start && open_begin_ == 0});
    }
    open_ = false;
  }

  Piece piece_;
  Behavior behavior_;
  bool invert_;
  PieceSink sink_;
  size_t seen_ = 0;
  bool open_ = false;  // a part waits for neighbours that join it
  size_t open_begin_ = 0;
  size_t open_end_ = 0;
  bool last_delimiter_ = false;
};

class Split : public PreTokenizer {
 public:
  Split(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(Piece piece, Scratch& scratch, PieceSink sink) const override {
    Cutter cutter(piece, behavior_, invert_, sink);
    pattern_.for_each_match(piece.text, scratch.match, [&](Match match) { cutter.delimiter(match); });
    cutter.finish();
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

// Splits at the characters that `Is` names.
template <bool (*Is)(char32_t)>
class CharacterSplit : public PreTokenizer {
 public:
  explicit CharacterSplit(Behavior behavior) : behavior_(behavior) {}

  void split(Piece piece, Scratch&, PieceSink sink) const override {
    Cutter cutter(piece, behavior_, /*invert=*/false, sink);
    for (size_t pos = 0; pos < piece.text.size();) {
      const CodePoint point = decode_utf8(piece.text.data() + pos);
      if (Is(point.value)) cutter.delimiter({pos, pos + point.bytes});
      pos += point.bytes;
    }
    cutter.finish();
  }

 private:
  Behavior behavior_;
};

using Digits = CharacterSplit<is_numeric>;
using Punctuation = CharacterSplit<is_punctuation>;

// Spaces become a visible character ("▁"); words start with it.
class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { always, first, never };

  Metaspace(std::string mark, Prepend prepend, bool split, size_t buffer)
      : mark_(std::move(mark)), prepend_(prepend), split_(split), buffer_(buffer) {}

  void split(Piece piece, Scratch& scratch, PieceSink sink) const override {
    std::string& text = scratch.buffers[buffer_];
    text.clear();
    const bool marked = piece.text.starts_with(' ') || piece.text.starts_with(mark_);
    const bool wanted = prepend_ == Prepend::always || (prepend_ == Prepend::first && piece.at_start);
    if (wanted && !marked) text += mark_;
    for (size_t pos = 0; pos < piece.text.size();) {
      const size_t space = std::min(piece.text.find(' ', pos), piece.text.size());
      text += piece.text.substr(pos, space - pos);
      if (space < piece.text.size()) text += mark_;
      pos = space + 1;
    }
    if (!split_) return sink({text, piece.at_start});
    for (size_t begin = 0; begin < text.size();) {
      const size_t skip = text.compare(begin, mark_.size(), mark_) == 0 ? mark_.size() : 1;
      const size_t end = std::min(text.find(mark_, begin + skip), text.size());
      sink({std::string_view(text).substr(begin, end - begin), piece.at_start && begin == 0});
      begin = end;
    }
  }

 private:
  std::string mark_;
  Prepend prepend_;
  bool split_;
  size_t buffer_;
};

class ByteLevel : public PreTokenizer {
 public:
  struct Buffers {
    size_t prefixed;
    size_t mapped;
  };
  ByteLevel(bool add_prefix_space, bool use_regex, bool last, Buffers buffers)
      : add_prefix_space_(add_prefix_space), last_(last), buffers_(buffers) {
    if (use_regex) regex_.emplace(kGpt2Regex, "ByteLevel");
  }

  void split(Piece piece, Scratch& scratch, PieceSink sink) const override {
    if (add_prefix_space_ && !piece.text.starts_with(' ')) {
      std::string& text = scratch.buffers[buffers_.prefixed];
      text = ' ';
      text += piece.text;
      piece.text = text;
    }
    const auto emit = [&](Piece part) {
      if (last_) return sink(part);
      std::string& text = scratch.buffers[buffers_.mapped];
      text.clear();
      append_alphabet(text, part.text);
      sink({text, part.at_start});
    };
    if (!regex_) return emit(piece);
    // The regex matches every character, so the matches are the pieces.
    MatchWalk walk(*regex_, piece.text, scratch.match);
    Match match;
    while (walk.next(match)) {
      emit({piece.text.substr(match.begin, match.end - match.begin), piece.at_start && match.begin == 0});
    }
  }

 private:
  bool add_prefix_space_;
  bool last_;
  Buffers buffers_;
  std::optional<Regex> regex_;
};

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  void split(Piece piece, Scratch& scratch, PieceSink sink) const override { run(0, piece, scratch, sink); }

 private:
  void run(size_t step, Piece piece, Scratch& scratch, PieceSink sink) const {
    if (step == steps_.size()) return sink(piece);
    steps_[step]->split(piece, scratch, [&, step](Piece part) { run(step + 1, part, scratch, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

class ChainReader {
 public:
  size_t buffers() const { return next_buffer_; }

  std::unique_ptr<PreTokenizer> read(const Settings& settings, bool last, bool& byte_level) {
    const std::string type = settings.type();
    if (type == "Sequence") {
      settings.allow_only({"pretokenizers"});
      const std::vector<Settings> list = settings.objects("pretokenizers");
      std::vector<std::unique_ptr<PreTokenizer>> steps;
      for (size_t i = 0; i < list.size(); ++i)
        steps.push_back(read(list[i], last && i + 1 == list.size(), byte_level));
      return std::make_unique<Sequence>(std::move(steps));
    }
    if (type == "Split") {
      settings.allow_only({"pattern", "behavior", "invert"});
      return std::make_unique<Split>(Pattern::read(settings), read_behavior(settings),
                                     settings.boolean("invert"));
    }
    if (type == "Digits") {
      settings.allow_only({"individual_digits"});
      return std::make_unique<Digits>(settings.boolean("individual_digits") ? Behavior::isolated
                                                                            : Behavior::contiguous);
    }
    if (type == "Punctuation") {
      settings.allow_only({"behavior"});
      return std::make_unique<Punctuation>(settings.has("behavior") ? read_behavior(settings)
                                                                    : Behavior::isolated);
    }
    if (type == "ByteLevel") {
      settings.allow_only({"add_prefix_space", "trim_offsets", "use_regex"});
      byte_level = last;
      const ByteLevel::Buffers buffers{next_buffer_++, next_buffer_++};
      return std::make_unique<ByteLevel>(settings.boolean("add_prefix_space"),
                                         settings.boolean("use_regex", true), last, buffers);
    }
    if (type == "Metaspace") return metaspace(settings);
    settings.unsupported_type("pre-tokenizer", kSupported);
  }

 private:
  std::unique_ptr<PreTokenizer> metaspace(const Settings& settings) {
    settings.allow_only({"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
    std::string mark;
    append_utf8(mark, settings.character("replacement"));
    // Files before tokenizers 0.15 have add_prefix_space instead of prepend_scheme.
    const bool prefix = settings.boolean("add_prefix_space", true);
    const std::string scheme = settings.string("prepend_scheme", prefix ? "always" : "never");
    if (!prefix && scheme != "never") {
      settings.wrong("prepend_scheme", "\"never\" beside add_prefix_space false");
    }
    Metaspace::Prepend prepend = Metaspace::Prepend::never;
    if (scheme == "always") {
      prepend = Metaspace::Prepend::always;
    } else if (scheme == "first") {
      prepend = Metaspace::Prepend::first;
    } else if (scheme != "never") {
      settings.wrong("prepend_scheme", "\"always\", \"first\" or \"never\"");
    }
    return std::make_unique<Metaspace>(std::move(mark), prepend, settings.boolean("split", true),
                                       next_buffer_++);
  }

  size_t next_buffer_ = 0;
};

}  // namespace

PreTokenizerChain read_pre_tokenizer(const Settings& settings) {
  PreTokenizerChain chain;
  ChainReader reader;
  chain.first = reader.read(settings, /*last=*/true, chain.byte_level);
  chain.buffers = reader.buffers();
  return chain;
}

}  // namespace ingot::text
