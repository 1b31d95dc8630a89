// Value: one result in a graph, and Dim, the length of one of its dimensions. Part of graph.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/dtype.h"

namespace ingot {

namespace api {
struct Access;
struct GraphBuilder;
}  // namespace api

/// A length of a dimension: fixed, or made of T, the one length that each run of a graph chooses (rows,
/// tokens or whatever the graph counts): factor x T + offset.
class Dim {
 public:
  Dim(int64_t length) : offset_(length) {}  // NOLINT(google-explicit-constructor)
  /// T. Every any() of a graph is the same length.
  static Dim any();

  bool is_fixed() const { return factor_ == 0; }
  /// The length where T is `any`.
  int64_t at(int64_t any) const { return factor_ * any + offset_; }

  /// Errors: invalid_argument for a negative factor or offset, or a length beyond 2^40.
  friend Dim operator*(int64_t factor, Dim dim);
  friend Dim operator*(Dim dim, int64_t factor) { return factor * dim; }
  friend Dim operator+(Dim dim, int64_t offset);
  friend bool operator==(const Dim&, const Dim&) = default;
  /// "512", "T", "2T+1"
  friend std::string to_string(Dim dim);

 private:
  int64_t factor_ = 0;
  int64_t offset_ = 0;
};

/// One result in a graph. Copies name the same result; a value keeps what it belongs to alive.
class Value {
 public:
  /// Of no graph: every function refuses it.
  Value() = default;

  DType dtype() const;
  std::vector<Dim> dims() const;

 private:
  friend struct api::Access;
  std::shared_ptr<api::GraphBuilder> builder_;
  int32_t id_ = -1;
};

/// The type as printed, "f32[T, 512]".
std::string to_string(const Value& value);

}  // namespace ingot
