#include "text/bpe.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "text/byte_level.h"
#include "text/hash.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

constexpr char32_t kCodePoints = 0x110000;
constexpr size_t kPage = 256;

void require_unset(const Settings& settings, std::string_view key) {
  if (!settings.has(key)) return;
  if (settings.value(key).is_string() && settings.string(key).empty()) return;  // as GPT-2 publishes it
  fail(ErrorCode::unsupported, "{}: the option '{}' is not supported: expected null", settings.place(), key);
}

uint64_t joint_hash(char32_t left, char32_t right) {
  return mix_hash((uint64_t{left} << 32 | uint64_t{right}) * 0x9E3779B97F4A7C15U);
}

}  // namespace

Bpe::Bpe(const Settings& settings, const Vocab& vocab, std::span<const MergeRule> merges, bool byte_level)
    : vocab_(vocab), to_alphabet_(byte_level) {
  settings.allow_only({"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                       "byte_fallback", "ignore_merges", "vocab", "merges"});
  require_unset(settings, "continuing_subword_prefix");
  require_unset(settings, "end_of_word_suffix");
  if (settings.has("dropout")) {
    if (!settings.value("dropout").is_number()) settings.wrong("dropout", "null or 0");
    if (settings.value("dropout").get<double>() != 0) {
      fail(ErrorCode::unsupported, "{}: dropout: expected null or 0, found {}", settings.place(),
           settings.value("dropout").dump());
    }
  }
  ignore_merges_ = settings.boolean("ignore_merges", false);
  fuse_unknown_ = settings.boolean("fuse_unk", false);
  const bool byte_fallback = settings.boolean("byte_fallback", false);
  const std::string unknown = settings.string("unk_token", "");

  bytes_ = byte_level && find_bytes(vocab, /*byte_level=*/true);
  if (!bytes_) {
    if (byte_fallback) {
      falls_back_ = find_bytes(vocab, /*byte_level=*/false);
    } else {
      byte_ids_.fill(-1);
    }
    if (!unknown.empty()) unknown_ = vocab.find(unknown);
    if (!unknown.empty() && !unknown_) settings.wrong("unk_token", "a token of the vocabulary");
  }
  add_merges(merges);
  if (!bytes_) index_characters();
}

// Fills byte_ids_; whether all are there.
bool Bpe::find_bytes(const Vocab& vocab, bool byte_level) {
  bool all = true;
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    std::string token;
    if (byte_level) {
      append_utf8(token, byte_to_alphabet(static_cast<uint8_t>(byte)));
    } else {
      token = fmt::format("<0x{:02X}>", byte);
    }
    byte_ids_[byte] = vocab.find(token).value_or(-1);
    all = all && byte_ids_[byte] >= 0;
  }
  return all;
}

void Bpe::add_merges(std::span<const MergeRule> merges) {
  merges_.reserve(merges.size());
  if (!bytes_)
    joints_.assign(std::bit_ceil(merges.size() + 1),
                   0);  // 64 bits a rule: one pair in 64 is taken for a joint
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    constexpr size_t kAhead = 16;  // the table is larger than the caches
    if (rank + kAhead < merges.size())
      merges_.prefetch(merges[rank + kAhead].left, merges[rank + kAhead].right);
    const MergeRule& rule = merges[rank];
    merges_.add(rule.left, rule.right, {static_cast<uint32_t>(rank), rule.product});
    if (bytes_) continue;
    const std::string_view left = vocab_.known_token(rule.left);
    const std::string_view right = vocab_.known_token(rule.right);
    if (left.empty() || right.empty()) continue;
    const uint64_t bit =
        joint_hash(decode_utf8_before(left, left.size()).value, decode_utf8(right.data()).value) &
        (joints_.size() * 64 - 1);
    joints_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
}

void Bpe::index_characters() {
  pages_.resize(kCodePoints / kPage);
  for (size_t id = 0; id < vocab_.id_end(); ++id) {
    const auto token = vocab_.token(static_cast<int32_t>(id));
    if (!token || token->empty()) continue;
    const CodePoint point = decode_utf8(token->data());
    if (point.bytes != token->size()) continue;
    auto& page = pages_[point.value / kPage];
    if (!page) {
      page = std::make_unique<std::array<int32_t, kPage>>();
      page->fill(-1);
    }
    (*page)[point.value % kPage] = static_cast<int32_t>(id);
  }
}

int32_t Bpe::character_id(char32_t value) const {
  const auto& page = pages_[value / kPage];
  return page ? (*page)[value % kPage] : -1;
}

Bpe::Faces Bpe::faces(char32_t value) const {
  if (character_id(value) >= 0) return {value, value, true};
  return {'<', '>', falls_back_};  // the ends of a fallback token
}

void Bpe::encode(std::string_view word, BpeWork& work, std::vector<int32_t>& ids) const {
  if (to_alphabet_ && !bytes_) {
    work.alphabet.clear();
    append_alphabet(work.alphabet, word);
    word = work.alphabet;
  }
  if (word.size() <= WordCache::kMaxWordBytes) {
    encode_cached(word, work, ids);
  } else if (!bytes_ && !ignore_merges_) {
    encode_segments(word, work, ids);
  } else {
    encode_whole(word, work);
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  }
}

void Bpe::encode_cached(std::string_view word, BpeWork& work, std::vector<int32_t>& ids) const {
  const uint64_t hash = hash_bytes(word);
  const auto known = work.cache.find(word, hash);
  if (known) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  encode_whole(word, work);
  ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  work.cache.insert(word, hash, work.symbols);
}

// Cuts a long text, such as a whole document of a model without pre-tokenizer, where no token can span the
// cut.
void Bpe::encode_segments(std::string_view text, BpeWork& work, std::vector<int32_t>& ids) const {
  const uint64_t mask = joints_.size() * 64 - 1;
  size_t begin = 0;
  Faces left{0, 0, false};
  const auto emit = [&](size_t end) {
    const std::string_view segment = text.substr(begin, end - begin);
    begin = end;
    if (segment.size() <= WordCache::kMaxWordBytes) return encode_cached(segment, work, ids);
    encode_whole(segment, work);
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  };
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint point = decode_utf8(text.data() + pos);
    const Faces right = faces(point.value);
    if (pos > 0 && left.known && right.known) {
      const uint64_t bit = joint_hash(left.last, right.first) & mask;
      if ((joints_[bit / 64] >> (bit % 64) & 1) == 0) emit(pos);
    }
    left = right;
    pos += point.bytes;
  }
  emit(text.size());
}

// Leaves the ids in work.symbols.
void Bpe::encode_whole(std::string_view word, BpeWork& work) const {
  work.symbols.clear();
  if (ignore_merges_) {
    std::string_view token = word;
    if (bytes_) {
      work.alphabet.clear();
      append_alphabet(work.alphabet, word);
      token = work.alphabet;
    }
    if (const auto id = vocab_.find(token)) {
      work.symbols.push_back(*id);
      return;
    }
  }
  if (bytes_) {
    for (const char c : word) work.symbols.push_back(byte_ids_[static_cast<uint8_t>(c)]);
  } else {
    first_symbols(word, work.symbols);
  }
  merges_.merge_word(work.symbols, work.merge);
}

// As tokenizers does it: a pending unknown token waits for the next known character, even behind fallback
// bytes; a character without token, fallback and unknown token is dropped.
void Bpe::first_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  bool pending = false;
  for (size_t pos = 0; pos < word.size();) {
    const CodePoint point = decode_utf8(word.data() + pos);
    const std::string_view character = word.substr(pos, point.bytes);
    pos += point.bytes;
    if (const int32_t id = character_id(point.value); id >= 0) {
      if (pending) symbols.push_back(*unknown_);
      pending = false;
      symbols.push_back(id);
      continue;
    }
    const auto byte_id = [this](char c) { return byte_ids_[static_cast<uint8_t>(c)]; };
    if (std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (const char c : character) symbols.push_back(byte_id(c));
      continue;
    }
    if (!unknown_) continue;
    if (pending && !fuse_unknown_) symbols.push_back(*unknown_);
    pending = true;
  }
  if (pending) symbols.push_back(*unknown_);
}

}  // namespace ingot::text
