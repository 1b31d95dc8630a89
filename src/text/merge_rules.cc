#include "text/merge_rules.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

// Published pieces stay below 100 bytes and 600,000 rules; the bounds keep the work on a hostile file short.
constexpr size_t kMaxPieceBytes = 1024;
constexpr size_t kMaxRules = size_t{1} << 22;

// A rule among others of the same score.
struct Candidate {
  uint32_t left_characters;
  uint32_t right_characters;
  MergeRule rule;
};

class ScoreMerges {
 public:
  ScoreMerges(const Vocab& vocab, std::string_view place) : vocab_(vocab), place_(place) {
    longest_.assign(256, 0);
    for (size_t id = 0; id < vocab.id_end(); ++id) {
      const auto token = vocab.token(static_cast<int32_t>(id));
      if (!token || token->empty()) continue;
      size_t& longest = longest_[static_cast<unsigned char>(token->front())];
      longest = std::max(longest, token->size());
    }
  }

  /// Finds the splits of one piece, those with the longest left part first; or the other way round.
  void find(int32_t id, bool shortest_first) {
    const std::string_view piece = *vocab_.token(id);
    if (piece.size() > kMaxPieceBytes) {
      fail(ErrorCode::invalid_file, "{}[{}]: expected a piece of at most {} bytes, found {}", place_, id,
           kMaxPieceBytes, piece.size());
    }
    starts_.clear();
    for (size_t pos = 0; pos < piece.size(); pos += decode_utf8(piece.data() + pos).bytes) {
      starts_.push_back(static_cast<uint32_t>(pos));
    }
    const auto characters = static_cast<uint32_t>(starts_.size());
    for (uint32_t left = characters; left-- > 1;) {
      const size_t at = starts_[left];
      // No token that long starts with this byte.
      if (piece.size() - at > longest_[static_cast<unsigned char>(piece[at])]) continue;
      const auto right_id = vocab_.find(piece.substr(at));
      if (!right_id) continue;
      const auto left_id = vocab_.find(piece.substr(0, at));
      if (!left_id) continue;
      found_.push_back({left, characters - left, {*left_id, *right_id, id}});
    }
    if (shortest_first) std::reverse(found_.begin(), found_.end());
  }

  /// Appends what was found since the last call, all of one score.
  void finish(bool one_piece) {
    if (!one_piece) {
      std::stable_sort(found_.begin(), found_.end(), [](const Candidate& a, const Candidate& b) {
        return std::pair(a.left_characters, a.right_characters) >
               std::pair(b.left_characters, b.right_characters);
      });
    }
    if (rules_.size() + found_.size() > kMaxRules) {
      fail(ErrorCode::invalid_file, "{}: expected pieces with at most {} splits into others, found more",
           place_, kMaxRules);
    }
    for (const Candidate& candidate : found_) rules_.push_back(candidate.rule);
    found_.clear();
  }

  std::vector<MergeRule> take() { return std::move(rules_); }

 private:
  const Vocab& vocab_;
  std::string_view place_;
  std::vector<size_t> longest_;  // by first byte: bytes of the longest token
  std::vector<uint32_t> starts_;
  std::vector<Candidate> found_;
  std::vector<MergeRule> rules_;
};

}  // namespace

MergeRules::MergeRules(const Vocab& vocab, std::string place, size_t count)
    : vocab_(vocab), place_(std::move(place)) {
  rules_.reserve(count);
}

int32_t MergeRules::id_of(std::string_view token, std::string_view left, std::string_view right) const {
  const auto found = vocab_.find(token);
  if (!found) {
    fail(ErrorCode::invalid_file, "{}[{}] ('{}' + '{}'): the vocabulary has no token '{}'", place_,
         rules_.size(), left, right, token);
  }
  return *found;
}

void MergeRules::add(std::string_view left, std::string_view right) {
  joined_.assign(left).append(right);
  const int32_t left_id = id_of(left, left, right);
  const int32_t right_id = id_of(right, left, right);
  // Published vocabularies list the joined tokens in the order of the merges: the next id is a good guess.
  last_product_ =
      vocab_.token(last_product_ + 1) == joined_ ? last_product_ + 1 : id_of(joined_, left, right);
  rules_.push_back({left_id, right_id, last_product_});
}

std::vector<MergeRule> merges_from_scores(const Vocab& vocab, std::span<const float> scores,
                                          const std::vector<bool>& splits, std::string_view place) {
  INGOT_CHECK(scores.size() >= vocab.id_end() && splits.size() >= vocab.id_end(), "{} scores, {} ids",
              scores.size(), vocab.id_end());
  std::vector<int32_t> pieces;
  for (size_t id = 0; id < vocab.id_end(); ++id) {
    if (splits[id] && vocab.token(static_cast<int32_t>(id))) pieces.push_back(static_cast<int32_t>(id));
  }
  const auto score = [&](int32_t id) { return scores[static_cast<size_t>(id)]; };
  const bool ranked = std::any_of(pieces.begin(), pieces.end(),
                                  [&](int32_t id) { return score(id) != score(pieces.front()); });
  if (ranked) {
    std::stable_sort(pieces.begin(), pieces.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  }
  ScoreMerges merges(vocab, place);
  for (size_t begin = 0; begin < pieces.size();) {
    size_t end = begin + 1;
    while (ranked && end < pieces.size() && score(pieces[end]) == score(pieces[begin])) ++end;
    for (size_t i = begin; i < end; ++i) merges.find(pieces[i], !ranked);
    merges.finish(end - begin == 1);
    begin = end;
  }
  return merges.take();
}

}  // namespace ingot::text
