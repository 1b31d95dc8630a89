#include "text/tokenizer_json.h"

#include <utility>

#include "base/check.h"
#include "format/json.h"

namespace ingot::text {
namespace {

using nlohmann::json;

// Receives nlohmann's parse events. Builds the tree of settings, except below model.vocab and model.merges.
class Reader {
 public:
  Reader(std::string_view name, TokenizerJson& out) : name_(name), out_(out) {}

  bool null() { return scalar(json(nullptr), "null"); }
  bool boolean(bool value) { return scalar(json(value), "a boolean"); }
  bool number_float(double value, const std::string&) { return scalar(json(value), "a fraction"); }
  bool number_integer(int64_t value) {
    if (place_ == Place::vocab) return token(value);
    return scalar(json(value), "a number");
  }
  bool number_unsigned(uint64_t value) {
    if (place_ == Place::vocab) return token(value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value));
    return scalar(json(value), "a number");
  }
  bool string(std::string& value) {
    if (place_ == Place::merges) {
      add_merge_line(value);
      return true;
    }
    if (place_ == Place::merge_pair) {
      if (++pair_parts_ > 2) bad_merge("a list of more than two strings");
      out_.merges.add(value);
      return true;
    }
    return scalar(json(std::move(value)), "a string");
  }
  bool binary(json::binary_t&) { return false; }

  bool start_object(size_t) {
    enter();
    if (place_ == Place::settings && stack_.size() == 2 && in_model() && key_ == "vocab") {
      if (out_.has_vocab) repeated_key("vocab");
      out_.has_vocab = true;
      place_ = Place::vocab;
      return true;
    }
    if (place_ != Place::settings) misplaced("an object");
    stack_.push_back(put(json::object()));
    keys_.push_back(key_);
    return true;
  }

  bool key(std::string& value) {
    key_ = value;
    if (place_ == Place::settings && stack_.back()->contains(key_)) repeated_key(key_);
    return true;
  }

  bool end_object() {
    --depth_;
    if (place_ == Place::vocab) {
      place_ = Place::settings;
    } else {
      leave();
    }
    return true;
  }

  bool start_array(size_t) {
    enter();
    if (place_ == Place::settings && stack_.size() == 2 && in_model() && key_ == "merges") {
      if (out_.has_merges) repeated_key("merges");
      out_.has_merges = true;
      place_ = Place::merges;
      return true;
    }
    if (place_ == Place::merges) {
      place_ = Place::merge_pair;
      pair_parts_ = 0;
      return true;
    }
    if (place_ != Place::settings) misplaced("a list");
    stack_.push_back(put(json::array()));
    keys_.push_back(key_);
    return true;
  }

  bool end_array() {
    --depth_;
    if (place_ == Place::merge_pair) {
      if (pair_parts_ != 2) bad_merge(fmt::format("a list of {}", pair_parts_));
      ++merges_;
      place_ = Place::merges;
    } else if (place_ == Place::merges) {
      place_ = Place::settings;
    } else {
      leave();
    }
    return true;
  }

  bool parse_error(size_t, const std::string&, const json::exception& error) {
    fail(ErrorCode::invalid_file, "{}: not valid JSON: {}", name_, error.what());
  }

 private:
  enum class Place { settings, vocab, merges, merge_pair };

  bool in_model() const { return keys_.back() == "model"; }

  void enter() {
    if (++depth_ > format::kMaxJsonDepth) {
      fail(ErrorCode::invalid_file, "{}: JSON is nested deeper than {} levels", name_, format::kMaxJsonDepth);
    }
  }

  void leave() {
    stack_.pop_back();
    keys_.pop_back();
  }

  // Stores a value in the container that is open and returns where it lies.
  json* put(json value) {
    if (stack_.empty()) {
      out_.settings = std::move(value);
      return &out_.settings;
    }
    json& parent = *stack_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }

  bool scalar(json value, std::string_view kind) {
    if (place_ != Place::settings) misplaced(kind);
    put(std::move(value));
    return true;
  }

  bool token(int64_t id) {
    out_.vocab.add(key_, id, name_);
    return true;
  }

  // The older form of a merge, "left right". tokenizers skips a "#version" line.
  void add_merge_line(std::string_view line) {
    if (line.starts_with("#version")) return;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      bad_merge(fmt::format("'{}'", line));
    }
    out_.merges.add(line.substr(0, space));
    out_.merges.add(line.substr(space + 1));
    ++merges_;
  }

  [[noreturn]] void bad_merge(std::string_view found) const {
    fail(ErrorCode::invalid_file,
         "{}: model.merges[{}]: expected \"left right\" or [\"left\", \"right\"], found {}", name_, merges_,
         found);
  }

  [[noreturn]] void repeated_key(std::string_view repeated) const {
    fail(ErrorCode::invalid_file, "{}: JSON object repeats the key '{}'", name_, repeated);
  }

  [[noreturn]] void misplaced(std::string_view kind) const {
    if (place_ == Place::vocab) {
      fail(ErrorCode::invalid_file, "{}: model.vocab: expected a whole number as the id of '{}', found {}",
           name_, key_, kind);
    }
    bad_merge(kind);
  }

  std::string_view name_;
  TokenizerJson& out_;
  Place place_ = Place::settings;
  int depth_ = 0;
  size_t merges_ = 0;
  int pair_parts_ = 0;
  std::string key_;                // the last key read
  std::vector<json*> stack_;       // open containers, outermost first; a child closes before its parent grows
  std::vector<std::string> keys_;  // the key under which each of them stands
};

}  // namespace

TokenizerJson read_tokenizer_json(std::string_view text, std::string_view name) {
  TokenizerJson out;
  // A line of vocabulary and one of merges take some 70 bytes together.
  out.vocab.reserve(text.size() / 70, text.size() / 8);
  Reader reader(name, out);
  json::sax_parse(text, &reader);
  return out;
}

}  // namespace ingot::text
