#include "text/regex_syntax.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

// White_Space and its complement, as items of a character class.
constexpr std::string_view kSpace =
    R"(\x{09}-\x{0D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{00}-\x{08}\x{0E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027})"
    R"(\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";
// Oniguruma's word characters: Alphabetic, marks, decimal digits, connector punctuation.
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kHex = "0-9A-Fa-f";

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kCategoryNames = {{
    {"Letter", "L"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"Punctuation", "P"},
    {"Symbol", "S"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Other", "C"},
}};
constexpr std::array<std::string_view, 38> kProperties = {
    "Any", "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu",
    "M",   "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf",
    "Pi",  "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs",
};
constexpr std::array<std::string_view, 6> kBinaryProperties = {
    "Alphabetic", "Emoji", "Emoji_Presentation", "Extended_Pictographic", "Ideographic", "White_Space",
};

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view where) : in_(pattern), where_(where) {}

  std::string run() {
    while (pos_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::unsupported,
         "{}: regex '{}': {} is not supported; supported are groups, lookaround, classes without nesting, "
         "(?i), "
         "greedy, lazy and possessive repeats, \\s \\d \\w \\p{{…}} and escaped characters",
         where_, in_, what);
  }
  [[noreturn]] void malformed(std::string_view what) const {
    fail(ErrorCode::invalid_file, "{}: regex '{}': {}", where_, in_, what);
  }

  bool at(std::string_view text) const { return in_.substr(pos_, text.size()) == text; }

  void step() {
    switch (in_[pos_]) {
      case '\\':
        atom_ = out_.size();
        ++pos_;
        escape(/*in_class=*/false);
        break;
      case '[':
        atom_ = out_.size();
        char_class();
        break;
      case '(':
        open_group();
        break;
      case ')':
        if (groups_.empty()) malformed("')' without '('");
        atom_ = groups_.back();
        groups_.pop_back();
        out_ += in_[pos_++];
        break;
      case '{':
        interval();
        break;
      case '*':
      case '+':
      case '?':
        out_ += in_[pos_++];
        if (pos_ < in_.size() && (in_[pos_] == '+' || in_[pos_] == '?')) out_ += in_[pos_++];
        break;
      default:
        atom_ = out_.size();
        copy_character();
    }
  }

  void copy_character() {
    const size_t bytes = decode_utf8(in_.data() + pos_).bytes;
    out_ += in_.substr(pos_, bytes);
    pos_ += bytes;
  }

  void open_group() {
    groups_.push_back(out_.size());
    if (!at("(?")) {
      if (at("(*")) refuse("'(*'");
      out_ += in_[pos_++];
      return;
    }
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"}) {
      if (at(kind)) {
        out_ += kind;
        pos_ += kind.size();
        return;
      }
    }
    if (at("(?i)") && pos_ == 0) {  // elsewhere its reach differs between the two engines
      groups_.pop_back();
      out_ += "(?i)";
      pos_ += 4;
      return;
    }
    refuse(fmt::format("'{}'", in_.substr(pos_, 4)));
  }

  void interval() {
    size_t end = pos_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < in_.size() && in_[end] >= '0' && in_[end] <= '9') ++end;
      return in_.substr(begin, end - begin);
    };
    const std::string_view low = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const std::string_view high = comma ? digits() : low;
    if (end >= in_.size() || in_[end] != '}' || (low.empty() && high.empty())) {
      atom_ = out_.size();  // a literal brace
      out_ += "\\{";
      ++pos_;
      return;
    }
    out_ += fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma ? "," : "", comma ? high : "");
    pos_ = end + 1;
    if (pos_ == in_.size()) return;
    if (in_[pos_] == '?' && comma) {
      out_ += in_[pos_++];  // lazy in both
    } else if (in_[pos_] == '+' || in_[pos_] == '?') {
      out_.insert(atom_, "(?:");  // in Ruby this repeats the repeat
      out_ += ')';
      out_ += in_[pos_++];
    }
  }

  void char_class() {
    out_ += in_[pos_++];
    if (pos_ < in_.size() && in_[pos_] == '^') out_ += in_[pos_++];
    if (pos_ < in_.size() && in_[pos_] == ']') refuse("an empty character class");
    while (pos_ < in_.size() && in_[pos_] != ']') {
      if (in_[pos_] == '[') refuse("'[' inside a character class");
      if (at("&&")) refuse("'&&' inside a character class");
      if (in_[pos_] == '\\') {
        ++pos_;
        escape(/*in_class=*/true);
      } else {
        copy_character();
      }
    }
    if (pos_ == in_.size()) malformed("'[' without ']'");
    out_ += in_[pos_++];
  }

  // A class escape: bare items inside brackets, a class of its own outside.
  void items(std::string_view list, bool in_class, bool negated = false) {
    if (in_class && negated) refuse("a negated class escape inside a character class");
    if (!in_class) out_ += negated ? "[^" : "[";
    out_ += list;
    if (!in_class) out_ += ']';
  }

  void escape(bool in_class) {
    if (pos_ == in_.size()) malformed("a lone '\\' at the end");
    const char c = in_[pos_];
    switch (c) {
      case 's':
        ++pos_;
        return items(kSpace, in_class);
      case 'S':
        ++pos_;
        return items(kNotSpace, in_class);
      case 'w':
        ++pos_;
        return items(kWord, in_class);
      case 'W':
        ++pos_;
        return items(kWord, in_class, /*negated=*/true);
      case 'h':
        ++pos_;
        return items(kHex, in_class);
      case 'H':
        ++pos_;
        return items(kHex, in_class, /*negated=*/true);
      case 'd':
        ++pos_;
        out_ += "\\p{Nd}";
        return;
      case 'D':
        ++pos_;
        out_ += "\\P{Nd}";
        return;
      case 'p':
      case 'P':
        return property();
      case 'v':
        ++pos_;
        out_ += "\\x{0B}";
        return;
      case 'a':
        ++pos_;
        out_ += "\\x{07}";
        return;
      case 'e':
        ++pos_;
        out_ += "\\x{1B}";
        return;
      case 'n':
      case 'r':
      case 't':
      case 'f':
        out_ += '\\';
        out_ += c;
        ++pos_;
        return;
      case 'u':
        return hex_escape(4);
      case 'x':
        return hex_escape(2);
      case 'A':
      case 'z':
      case 'Z':
        if (!in_class) {
          out_ += '\\';
          out_ += c;
          ++pos_;
          return;
        }
        break;
      default:
        break;
    }
    const bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter_or_digit) refuse(fmt::format("'\\{}'", c));
    if (static_cast<unsigned char>(c) < 0x80) out_ += '\\';
    copy_character();
  }

  void hex_escape(size_t digits) {
    ++pos_;
    std::string_view hex;
    if (digits == 2 && pos_ < in_.size() && in_[pos_] == '{') {
      const size_t close = in_.find('}', pos_);
      if (close == std::string_view::npos) malformed("'\\x{' without '}'");
      hex = in_.substr(pos_ + 1, close - pos_ - 1);
      pos_ = close + 1;
    } else {
      hex = in_.substr(pos_, digits);
      pos_ += hex.size();
      // Two digits name a byte, not a character, in Oniguruma.
      if (digits == 2 && !hex.empty() && hex[0] > '7') refuse(fmt::format("'\\x{}'", hex));
    }
    const bool all_hex = std::all_of(hex.begin(), hex.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    });
    if (hex.empty() || hex.size() > 6 || !all_hex) malformed("an escape with other than hexadecimal digits");
    out_ += fmt::format("\\x{{{}}}", hex);
  }

  void property() {
    bool negated = in_[pos_++] == 'P';
    if (pos_ == in_.size() || in_[pos_] != '{') refuse("'\\p' without '{'");
    const size_t close = in_.find('}', pos_);
    if (close == std::string_view::npos) malformed("'\\p{' without '}'");
    std::string_view name = in_.substr(pos_ + 1, close - pos_ - 1);
    pos_ = close + 1;
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    for (const auto& [long_name, short_name] : kCategoryNames) {
      if (name == long_name) name = short_name;
    }
    const bool plain =
        std::find(kProperties.begin(), kProperties.end(), name) != kProperties.end() ||
        std::find(kBinaryProperties.begin(), kBinaryProperties.end(), name) != kBinaryProperties.end();
    // Anything else is a script; PCRE2 alone would take its extensions along.
    out_ += fmt::format("\\{}{{{}{}}}", negated ? 'P' : 'p', plain ? "" : "sc:", name);
  }

  std::string_view in_;
  std::string_view where_;
  size_t pos_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where in out_ the last repeatable item starts
  std::vector<size_t> groups_;  // the same for each open group
};

}  // namespace

std::string to_pcre2_syntax(std::string_view pattern, std::string_view where) {
  // DeepSeek's `\s+$` tries every start inside a run of spaces that does not end the line: quadratic. If the
  // run's first start fails, all later ones do (they see the same line ends), so only it, or the end of the
  // previous match, needs a try.
  if (pattern == "\\s+$") return fmt::format("(?:(?<![{0}])|\\G)[{0}]+$", kSpace);
  return Translator(pattern, where).run();
}

}  // namespace ingot::text
