// What every backend's kernels must pass, over a list of op cases. A check goes on after a case that fails
// and reports all of them together, so that one run shows which kernels are wrong, and where.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ingot/error.h"
#include "ops/run_case.h"

namespace ingot {

/// Runs checks by name, keeps what fails, and reports it as one failure of at most kLines lines.
class FailureList {
 public:
  static constexpr size_t kLines = 40;

  FailureList() = default;
  FailureList(const FailureList&) = delete;
  FailureList& operator=(const FailureList&) = delete;
  ~FailureList() {
    if (failed_ == 0) return;
    std::string text = fmt::format("{} of {} fail:", failed_, run_);
    for (const std::string& line : lines_) text += "\n  " + line;
    if (failed_ > lines_.size()) text += fmt::format("\n  and {} more", failed_ - lines_.size());
    ADD_FAILURE() << text;
  }

  /// False where the device is lost, and nothing further can be run on it.
  template <class Check>
  bool run(const std::string& name, const Check& check) {
    ++run_;
    testing::TestPartResultArray results;
    std::string thrown;
    bool is_lost = false;
    {
      testing::ScopedFakeTestPartResultReporter intercept(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
      try {
        check();
      } catch (const Error& error) {
        thrown = error.what();
        is_lost = error.code() == ErrorCode::device_failed;
      }
    }
    std::string text = std::move(thrown);
    for (int i = 0; i < std::min(results.size(), 2); ++i) {
      std::string message = results.GetTestPartResult(i).summary();
      message.erase(std::min(message.find("\nGoogle Test trace:"), message.size()));
      std::replace(message.begin(), message.end(), '\n', ' ');
      if (message.starts_with("Failed ")) message.erase(0, 7);
      text += (text.empty() ? "" : "; ") + message.substr(0, 200);
    }
    if (results.size() > 2) text += fmt::format("; and {} more", results.size() - 2);
    if (text.empty()) return true;
    if (++failed_ < kLines || is_lost) lines_.push_back(name + ": " + text);
    return !is_lost;
  }

 private:
  size_t run_ = 0;
  size_t failed_ = 0;
  std::vector<std::string> lines_;
};

inline std::string name_of(const opcases::OpCase& op_case, StepClass step) {
  return op_case.name + ", " + std::string(to_string(step));
}

/// Runs check(case, built, step) for every case in every step that has a kernel.
template <class Check>
void for_each_case(Backend& backend, const std::vector<opcases::OpCase>& cases, const Check& check) {
  FailureList failures;
  for (const opcases::OpCase& op_case : cases) {
    const BuiltCase built = build(op_case);
    std::vector<StepClass> steps;
    if (!failures.run(op_case.name, [&] { steps = steps_of(backend, built); })) return;
    for (StepClass step : steps) {
      if (!failures.run(name_of(op_case, step), [&] { check(op_case, built, step); })) return;
    }
  }
}

/// `only`: the steps of that class alone.
inline void check_reference(Backend& backend, const std::vector<opcases::OpCase>& cases,
                            std::optional<StepClass> only = std::nullopt) {
  std::string name;
  std::vector<std::byte> expected;  // of the case of that name: prefill and decode have the same
  for_each_case(backend, cases, [&](const opcases::OpCase& op_case, const BuiltCase& built, StepClass step) {
    if (only && *only != step) return;
    if (name != op_case.name) expected = run_reference(built);
    name = op_case.name;
    opcases::Tolerance tolerance = op_case.tolerance;
    tolerance.absolute += op_case.per_rounding * kernel_of(backend, built, step)->rounding;
    expect_close(run_case(backend, built, step), expected, built.output().dtype, tolerance);
  });
}

inline void check_in_place(Backend& backend, const std::vector<opcases::OpCase>& cases) {
  for_each_case(backend, cases, [&](const opcases::OpCase&, const BuiltCase& built, StepClass step) {
    const std::vector<Tensor> inputs = built.inputs();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!built.op().in_place(static_cast<int>(i)) || inputs[i].bytes() != built.output().bytes()) continue;
      EXPECT_TRUE(run_case(backend, built, step, static_cast<int>(i)) == run_case(backend, built, step))
          << "other bits in the place of input " << i;
    }
  });
}

/// Twice the same.
inline void check_repeats(Backend& backend, const std::vector<opcases::OpCase>& cases) {
  for_each_case(backend, cases, [&](const opcases::OpCase&, const BuiltCase& built, StepClass step) {
    EXPECT_TRUE(run_case(backend, built, step) == run_case(backend, built, step)) << "other bits";
  });
}

/// The case with these rows of every step input instead of its own.
struct PickedRows {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<Tensor> inputs;
  Tensor output;
  std::vector<Tensor> results;
};

inline PickedRows pick(const BuiltCase& built, graph::Symbol symbol, const std::vector<int64_t>& rows) {
  PickedRows picked;
  const auto& nodes = built.graph.node(built.result).inputs;
  const std::vector<Tensor> inputs = built.inputs();
  const auto with_rows = [&](const Shape& shape) {
    std::vector<int64_t> lengths(shape.lengths().begin(), shape.lengths().end());
    lengths[0] = static_cast<int64_t>(rows.size());
    return Shape(lengths);
  };
  picked.bytes.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const graph::Node& node = built.graph.node(nodes[i]);
    picked.inputs.push_back(inputs[i]);
    if (node.kind != graph::NodeKind::input || node.type.rank() == 0 ||
        node.type.dim(0) != graph::Dim(symbol))
      continue;
    const size_t row_bytes = inputs[i].bytes() / static_cast<size_t>(inputs[i].shape[0]);
    std::vector<std::byte>& bytes = picked.bytes.emplace_back();
    for (int64_t row : rows) {
      const auto* from = inputs[i].as<const std::byte>() + static_cast<size_t>(row) * row_bytes;
      bytes.insert(bytes.end(), from, from + row_bytes);
    }
    picked.inputs.back().data = bytes.data();
    picked.inputs.back().shape = with_rows(inputs[i].shape);
  }
  picked.output = built.output();
  picked.output.shape = with_rows(picked.output.shape);
  picked.results = built.results();
  for (size_t i = 0; i < picked.results.size(); ++i) {
    // A cache has no rows of the step: it stays whole.
    if (aliased_input(built, i) < 0) picked.results[i].shape = with_rows(picked.results[i].shape);
  }
  return picked;
}

/// Expects of the rows that were picked, in `found`, the bits that they have in `all`.
inline void expect_rows(const BuiltCase& built, int64_t count, const std::vector<int64_t>& rows,
                        const std::vector<std::byte>& all, const std::vector<std::byte>& found) {
  std::vector<Tensor> outputs = built.results();
  outputs.insert(outputs.begin(), built.output());
  const std::byte* found_rows = found.data();
  const std::byte* all_rows = all.data();
  for (size_t o = 0; o < outputs.size(); ++o) {
    const Tensor& output = outputs[o];
    if (o > 0 && aliased_input(built, o - 1) >= 0) {
      // Each row has its place in a cache: all rows, in whatever order, give the same one.
      const bool has_all = std::set(rows.begin(), rows.end()).size() == static_cast<size_t>(count);
      if (has_all) {
        ASSERT_EQ(std::memcmp(found_rows, all_rows, output.bytes()), 0)
            << "result " << o << " of " << rows.size() << " rows";
      }
      found_rows += output.bytes();
      all_rows += output.bytes();
      continue;
    }
    const size_t row_bytes = output.bytes() / static_cast<size_t>(count);
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(std::memcmp(found_rows + i * row_bytes, all_rows + static_cast<size_t>(rows[i]) * row_bytes,
                            row_bytes),
                0)
          << "row " << rows[i] << " at place " << i << " of " << rows.size();
    }
    found_rows += rows.size() * row_bytes;
    all_rows += output.bytes();
  }
  ASSERT_EQ(found_rows, found.data() + found.size());
  ASSERT_EQ(all_rows, all.data() + all.size());
}

/// Rows in another order, among `others` more, fewer of them, and one alone have the same bits.
inline void check_rows(Backend& backend, const std::vector<opcases::OpCase>& cases,
                       const std::vector<int64_t>& others) {
  for_each_case(backend, cases, [&](const opcases::OpCase& op_case, const BuiltCase& built, StepClass step) {
    const graph::Symbol symbol =
        built.dims[graph::Symbol::logit_rows] > 0 ? graph::Symbol::logit_rows : graph::Symbol::tokens;
    const int64_t count = built.dims[symbol];
    if (!op_case.rows_are_independent || count == 0 || built.output().bytes() == 0) return;
    std::vector<int64_t> backwards(static_cast<size_t>(count));
    std::iota(backwards.rbegin(), backwards.rend(), 0);
    std::vector<std::vector<int64_t>> picks{backwards};
    for (int64_t more : others) {
      std::vector<int64_t>& rows = picks.emplace_back(backwards);
      for (int64_t i = 0; i < more; ++i) rows.push_back(i * 5 % count);
    }
    std::vector<int64_t>& every_third = picks.emplace_back();
    for (int64_t i = count - 1; i >= 0; i -= 3) every_third.push_back(i);
    picks.push_back({count / 2});
    const std::vector<std::byte> all = run_case(backend, built, step);
    for (const std::vector<int64_t>& rows : picks) {
      const PickedRows picked = pick(built, symbol, rows);
      expect_rows(built, count, rows, all,
                  run_op(backend, built, picked.inputs, picked.output, picked.results, step));
    }
  });
}

}  // namespace ingot
