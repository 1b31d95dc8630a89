#include "text/merge_rules.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

// Published pieces stay below 100 bytes and 600,000 rules; the bounds keep the work on a hostile file short.
constexpr size_t kMaxPieceBytes = 1024;
constexpr size_t kMaxRules = size_t{1} << 22;
constexpr size_t kBatch = 256;  // pieces whose parts are looked up together

// Finds the splits of pieces, which come in the order of their scores.
class ScoreMerges {
 public:
  ScoreMerges(const Vocab& vocab, std::string_view place) : vocab_(vocab), place_(place) {}

  /// The splits of these pieces come behind those found before.
  void find(std::span<const int32_t> pieces) {
    propose(pieces);
    parts_.clear();
    for (const Split& split : proposed_) parts_.push_back(piece_of(split).substr(split.left_bytes));
    keep_tokens([](MergeRule& rule) -> int32_t& { return rule.right; });
    parts_.clear();
    for (const Split& split : proposed_) parts_.push_back(piece_of(split).substr(0, split.left_bytes));
    keep_tokens([](MergeRule& rule) -> int32_t& { return rule.left; });
    if (found_.size() + proposed_.size() > kMaxRules) {
      fail(ErrorCode::invalid_file, "{}: expected pieces with at most {} splits into others, found more",
           place_, kMaxRules);
    }
    found_.insert(found_.end(), proposed_.begin(), proposed_.end());
  }

  std::vector<MergeRule> ranked(std::span<const float> scores) {
    const auto score = [&](size_t i) { return scores[static_cast<size_t>(found_[i].rule.product)]; };
    std::vector<MergeRule> rules;
    rules.reserve(found_.size());
    for (size_t begin = 0; begin < found_.size();) {
      size_t end = begin + 1;
      bool one_piece = true;
      for (; end < found_.size() && score(end) == score(begin); ++end)
        one_piece = one_piece && found_[end].rule.product == found_[begin].rule.product;
      const auto first = found_.begin() + static_cast<ptrdiff_t>(begin);
      const auto last = found_.begin() + static_cast<ptrdiff_t>(end);
      if (!one_piece) {  // the splits of one piece are in order already
        std::stable_sort(first, last, [](const Split& a, const Split& b) {
          return std::pair(a.left_characters, a.right_characters) >
                 std::pair(b.left_characters, b.right_characters);
        });
      }
      for (; begin < end; ++begin) rules.push_back(found_[begin].rule);
    }
    return rules;
  }

 private:
  // A way to cut a piece in two.
  struct Split {
    uint32_t left_characters;
    uint32_t right_characters;
    uint32_t left_bytes;
    MergeRule rule;
  };
  std::string_view piece_of(const Split& split) const { return vocab_.known_token(split.rule.product); }

  // All ways to cut these pieces, those with the longest left part first, piece by piece.
  void propose(std::span<const int32_t> pieces) {
    proposed_.clear();
    for (const int32_t id : pieces) {
      const std::string_view piece = vocab_.known_token(id);
      if (piece.size() > kMaxPieceBytes) {
        fail(ErrorCode::invalid_file, "{}[{}]: expected a piece of at most {} bytes, found {}", place_, id,
             kMaxPieceBytes, piece.size());
      }
      const size_t first = proposed_.size();
      uint32_t right = 1;
      for (size_t at = piece.size(); (at -= decode_utf8_before(piece, at).bytes) > 0; ++right)
        proposed_.push_back({0, right, static_cast<uint32_t>(at), {-1, -1, id}});
      for (size_t i = first; i < proposed_.size(); ++i)
        proposed_[i].left_characters = right - proposed_[i].right_characters;
    }
  }

  // Looks parts_ up, one of each split, and drops the splits whose part is no token.
  template <typename Side>
  void keep_tokens(Side side) {
    ids_.resize(parts_.size());
    vocab_.find_all(parts_, ids_);
    size_t kept = 0;
    for (size_t i = 0; i < proposed_.size(); ++i) {
      if (ids_[i] < 0) continue;
      proposed_[kept] = proposed_[i];
      side(proposed_[kept++].rule) = ids_[i];
    }
    proposed_.resize(kept);
  }

  const Vocab& vocab_;
  std::string_view place_;
  std::vector<Split> found_;
  std::vector<Split> proposed_;
  std::vector<std::string_view> parts_;
  std::vector<int32_t> ids_;
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
    const auto piece = vocab.token(static_cast<int32_t>(id));
    if (splits[id] && piece && !piece->empty()) pieces.push_back(static_cast<int32_t>(id));
  }
  const auto score = [&](int32_t id) { return scores[static_cast<size_t>(id)]; };
  std::stable_sort(pieces.begin(), pieces.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  ScoreMerges merges(vocab, place);
  for (size_t begin = 0; begin < pieces.size(); begin += kBatch)
    merges.find(std::span(pieces).subspan(begin, std::min(kBatch, pieces.size() - begin)));
  return merges.ranked(scores);
}

}  // namespace ingot::text
