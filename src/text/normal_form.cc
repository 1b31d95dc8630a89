#include "text/normal_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

using Points = std::vector<utf8proc_int32_t>;

struct Range {
  char32_t first;
  char32_t last;
};

// Characters whose normalization came after Unicode 9. The tables of the Hugging Face tokenizers package end
// there, so models were trained on text that leaves these alone; so do we. (U+11930 would compose to
// U+11938.)
constexpr std::array kLeftAlone = std::to_array<Range>({
    {0x07FD, 0x07FD},   {0x0898, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},   {0x0C3C, 0x0C3C},
    {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785},
    {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
});

bool is_left_alone(char32_t value) {
  const auto* range = std::lower_bound(kLeftAlone.begin(), kLeftAlone.end(), value,
                                       [](const Range& r, char32_t x) { return r.last < x; });
  return range != kLeftAlone.end() && range->first <= value;
}

bool is_starter(utf8proc_int32_t point) {
  return utf8proc_get_property(point)->combining_class == 0 || is_left_alone(static_cast<char32_t>(point));
}

// Whether the form leaves this character alone and nothing before it can compose with it. Conservative.
bool is_inert(char32_t value, NormalForm form) {
  if (value < 0x80) return true;
  if (form != NormalForm::nfc) return is_left_alone(value);
  // Latin up to U+02FF composes only with marks behind it; Han has no decompositions.
  if (value < 0x300) return true;
  if (value >= 0x3400 && value <= 0x9FFF) return true;
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(value));
  const bool takes_part = property->combining_class != 0 || property->decomp_seqindex != UINT16_MAX ||
                          property->comb_index != UINT16_MAX || (value >= 0x1100 && value <= 0x11FF);
  return !takes_part || is_left_alone(value);
}

void decompose(std::string_view text, bool compatible, Points& out) {
  const int options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
  std::array<utf8proc_int32_t, 32> parts{};  // the longest mapping, of U+FDFA, has 18
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint point = decode_utf8(text.data() + pos);
    pos += point.bytes;
    if (is_left_alone(point.value)) {
      out.push_back(static_cast<utf8proc_int32_t>(point.value));
      continue;
    }
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point.value), parts.data(),
                                               static_cast<utf8proc_ssize_t>(parts.size()),
                                               static_cast<utf8proc_option_t>(options), &boundary);
    INGOT_CHECK(count >= 0 && static_cast<size_t>(count) <= parts.size(), "decomposition of U+{:04X}",
                static_cast<uint32_t>(point.value));
    out.insert(out.end(), parts.begin(), parts.begin() + count);
  }
}

// Canonical ordering. utf8proc's own is quadratic in the length of a run of marks.
void order_marks(Points& points) {
  auto begin = points.begin();
  while (begin != points.end()) {
    if (is_starter(*begin)) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, points.end(), is_starter);
    std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return utf8proc_get_property(a)->combining_class < utf8proc_get_property(b)->combining_class;
    });
    begin = end;
  }
}

void append_normalized(std::string_view text, NormalForm form, Points& points, std::string& out) {
  points.clear();
  decompose(text, form == NormalForm::nfkc || form == NormalForm::nfkd, points);
  order_marks(points);
  if (form == NormalForm::nfc || form == NormalForm::nfkc) {
    const auto count =
        utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    INGOT_CHECK(count >= 0, "composition");
    points.resize(static_cast<size_t>(count));
  }
  for (const utf8proc_int32_t point : points) append_utf8(out, static_cast<char32_t>(point));
}

}  // namespace

std::string to_normal_form(std::string_view text, NormalForm form) {
  std::string out;
  out.reserve(text.size());
  Points points;
  size_t copied = 0;      // everything before is in `out`
  size_t last_inert = 0;  // where the last inert character starts; the next one may compose with it
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint point = decode_utf8(text.data() + pos);
    if (is_inert(point.value, form)) {
      last_inert = pos;
      pos += point.bytes;
      continue;
    }
    size_t end = pos + point.bytes;
    while (end < text.size()) {
      const CodePoint next = decode_utf8(text.data() + end);
      if (is_inert(next.value, form)) break;
      end += next.bytes;
    }
    const size_t begin = std::max(copied, last_inert);
    out.append(text.substr(copied, begin - copied));
    append_normalized(text.substr(begin, end - begin), form, points, out);
    copied = last_inert = pos = end;
  }
  out.append(text.substr(copied));
  return out;
}

}  // namespace ingot::text
