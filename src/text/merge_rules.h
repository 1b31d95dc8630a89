// Merge rules from texts or from scores to ids of the vocabulary, in the order of their ranks.
//
// Pure functions of a finished Vocab; thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/merges.h"
#include "text/vocab.h"

namespace ingot::text {

/// Collects rules given as "left" and "right".
class MergeRules {
 public:
  /// `place`: of the list, for messages ("tokenizer.json: model: merges"). `count`: rules to make room for.
  MergeRules(const Vocab& vocab, std::string place, size_t count);

  /// Errors: invalid_file where a part or what they join to is no token.
  void add(std::string_view left, std::string_view right);
  std::vector<MergeRule> take() { return std::move(rules_); }

 private:
  int32_t id_of(std::string_view token, std::string_view left, std::string_view right) const;

  const Vocab& vocab_;
  std::string place_;
  std::string joined_;
  int32_t last_product_ = -1;
  std::vector<MergeRule> rules_;
};

/// SentencePiece keeps a score for each piece instead of merges (Kudo and Richardson 2018): every split of a
/// piece into two pieces is a rule, that of the best score first. In the order of transformers' conversion of
/// such vocabularies: longer left parts first among rules of one score.
///
/// `scores`: by id, finite; as many as the vocabulary has ids. `splits`: by id, whether the token is a piece
/// that others may join to. `place` is for messages.
/// Errors: invalid_file for pieces of absurd length or number of splits.
std::vector<MergeRule> merges_from_scores(const Vocab& vocab, std::span<const float> scores,
                                          const std::vector<bool>& splits, std::string_view place);

}  // namespace ingot::text
