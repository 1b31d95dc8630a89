// The working memory of one encode call: regex state, the cache of words, buffers that keep their capacity.
//
// Not thread safe; a ScratchPool lends each running call its own.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "text/bpe.h"
#include "text/regex.h"

namespace ingot::text {

struct Scratch {
  MatchState match;
  BpeWork bpe;
  std::vector<std::string> buffers;  // one for each pre-tokenizer that rewrites its piece
};

/// Thread safe.
class ScratchPool {
 public:
  class Loan {
   public:
    explicit Loan(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
    ~Loan() { pool_.give_back(std::move(scratch_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Scratch& operator*() { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

 private:
  std::unique_ptr<Scratch> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Scratch>();
    auto scratch = std::move(idle_.back());
    idle_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<Scratch> scratch) noexcept {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < idle_.capacity()) idle_.push_back(std::move(scratch));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> idle_ = [] {
    std::vector<std::unique_ptr<Scratch>> room;
    room.reserve(64);  // give_back() must not allocate: it runs in a destructor
    return room;
  }();
};

}  // namespace ingot::text
