#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "text/regex_syntax.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

constexpr size_t kMaxPatternBytes = size_t{1} << 16;
constexpr size_t kJitStackStart = size_t{32} << 10;
constexpr size_t kJitStackLimit = size_t{8} << 20;
constexpr uint32_t kHeapLimitKiB = uint32_t{64} << 10;

// Steps of one match. The published patterns need a few per byte of the longest run of one character class.
uint32_t step_limit(size_t text_bytes) {
  return static_cast<uint32_t>(std::min<size_t>(1'000'000 + 8 * text_bytes, 1'000'000'000));
}

std::string describe(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeCompile {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeStack {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

template <typename T>
T* not_null(T* made) {
  if (made == nullptr) fail(ErrorCode::out_of_memory, "tokenizer: no memory for a regex");
  return made;
}

}  // namespace

struct MatchState::Handles {
  std::unique_ptr<pcre2_match_context, FreeContext> context{not_null(pcre2_match_context_create(nullptr))};
  std::unique_ptr<pcre2_match_data, FreeData> data{not_null(pcre2_match_data_create(1, nullptr))};
  std::unique_ptr<pcre2_jit_stack, FreeStack> stack;  // stays empty where there is no JIT
  size_t limit_for = 0;                               // text bytes that the step limit was set for
};

MatchState::MatchState() : handles_(std::make_unique<Handles>()) {
  handles_->stack.reset(pcre2_jit_stack_create(kJitStackStart, kJitStackLimit, nullptr));
  if (handles_->stack) pcre2_jit_stack_assign(handles_->context.get(), nullptr, handles_->stack.get());
  pcre2_set_match_limit(handles_->context.get(), step_limit(0));
  pcre2_set_heap_limit(handles_->context.get(), kHeapLimitKiB);
}

MatchState::~MatchState() = default;

struct Regex::Code {
  std::string where;
  std::string pattern;
  std::unique_ptr<pcre2_code, FreeCode> compiled;
  bool jit = false;
};

Regex::Regex(std::string_view pattern, std::string_view where) : code_(std::make_unique<Code>()) {
  if (pattern.size() > kMaxPatternBytes) {
    fail(ErrorCode::unsupported, "{}: expected a regex of at most {} bytes, found {}", where,
         kMaxPatternBytes, pattern.size());
  }
  code_->where = where;
  code_->pattern = pattern;
  const std::string translated = to_pcre2_syntax(pattern, where);
  const std::unique_ptr<pcre2_compile_context, FreeCompile> context{
      not_null(pcre2_compile_context_create(nullptr))};
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  // MULTILINE: in Ruby syntax ^ and $ always stand for lines.
  constexpr uint32_t kOptions =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C;
  code_->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                      kOptions, &error, &offset, context.get()));
  if (!code_->compiled) {
    fail(ErrorCode::invalid_file, "{}: regex '{}' does not compile: {} (at byte {} of '{}')", where, pattern,
         describe(error), offset, translated);
  }
  code_->jit = pcre2_jit_compile(code_->compiled.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::optional<Match> Regex::find(std::string_view text, size_t from, MatchState& state) const {
  MatchState::Handles& handles = *state.handles_;
  if (text.size() > handles.limit_for) {
    pcre2_set_match_limit(handles.context.get(), step_limit(text.size()));
    handles.limit_for = text.size();
  }
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int found = code_->jit ? pcre2_jit_match(code_->compiled.get(), subject, text.size(), from, 0,
                                                 handles.data.get(), handles.context.get())
                               : pcre2_match(code_->compiled.get(), subject, text.size(), from,
                                             PCRE2_NO_UTF_CHECK, handles.data.get(), handles.context.get());
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    fail(ErrorCode::unsupported, "{}: regex '{}' gives up on a text of {} bytes: {}", code_->where,
         code_->pattern, text.size(), describe(found));
  }
  const size_t* ends = pcre2_get_ovector_pointer(handles.data.get());
  return Match{ends[0], ends[1]};
}

bool MatchWalk::next(Match& match) {
  while (from_ <= text_.size()) {
    const std::optional<Match> found = regex_.find(text_, from_, state_);
    if (!found) break;
    if (found->begin == found->end && last_end_ == found->end) {
      from_ += from_ < text_.size() ? decode_utf8(text_.data() + from_).bytes : 1;
      continue;
    }
    from_ = found->end;
    last_end_ = found->end;
    match = *found;
    return true;
  }
  from_ = text_.size() + 1;
  return false;
}

}  // namespace ingot::text
