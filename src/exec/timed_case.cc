#include "exec/timed_case.h"

#include <algorithm>
#include <chrono>

namespace ingot::exec {

using backend::Backend;
using graph::NodeKind;
using graph::Tensor;
using Clock = std::chrono::steady_clock;

namespace {

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

constexpr size_t kAlignment = 4096;

size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// The input whose storage a further result is, if it has none of its own.
std::optional<size_t> aliased_input(const opcases::BuiltCase& built, size_t result) {
  const graph::Node& node = built.graph.nodes()[static_cast<size_t>(built.result.id) + 1 + result];
  const auto& inputs = built.graph.node(built.result).inputs;
  const auto found = std::find(inputs.begin(), inputs.end(), node.alias);
  if (found == inputs.end()) return std::nullopt;
  return static_cast<size_t>(found - inputs.begin());
}

}  // namespace

Arena::Arena(Backend& backend, double bytes) : buffer_(backend.allocate(static_cast<size_t>(bytes))) {
  // 0x3c00 … 0x3cff: about 1 as f16, about 0.01 as bf16 and, in pairs, as f32.
  std::vector<uint16_t> pattern(size_t{1} << 19);
  for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<uint16_t>(0x3c00 + i * 37 % 256);
  const size_t step = pattern.size() * sizeof(uint16_t);
  for (size_t at = 0; at < buffer_.bytes(); at += step)
    backend.copy(data() + at, pattern.data(), std::min(step, buffer_.bytes() - at));
}

TimedCase::TimedCase(Backend& backend, const Arena& arena, const opcases::OpCase& op_case,
                     backend::StepClass step)
    : backend_(backend), arena_(arena), built_(build(op_case)), inputs_(built_.inputs()) {
  const std::vector<graph::TensorType> types = built_.input_types();
  const graph::TensorType& type = built_.graph.type(built_.result);
  kernel_ = backend.find_kernel({.op = built_.op(), .inputs = types, .output = type, .step = step});
  if (kernel_ == nullptr) return;
  const auto place = [&](size_t bytes) {
    buffers_.push_back(backend.allocate(std::max<size_t>(bytes, 1)));
    return buffers_.back().data();
  };
  const auto& nodes = built_.graph.node(built_.result).inputs;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Tensor& input = inputs_[i];
    const NodeKind kind = built_.graph.node(nodes[i]).kind;
    const bool is_float = is_weight_dtype(input.dtype);
    if (is_float && (kind == NodeKind::weight || kind == NodeKind::state)) {
      moving_.push_back(i);
      moving_bytes_ += aligned(input.bytes());
      input.data = nullptr;
      continue;
    }
    const void* host = input.data;
    input.data = place(input.bytes());
    backend.copy(input.data, host, input.bytes());
  }
  output_ = built_.output();
  if (!built_.op().alias_of()) output_.data = place(output_.bytes());
  results_ = built_.results();
  for (size_t i = 0; i < results_.size(); ++i) {
    if (!aliased_input(built_, i)) results_[i].data = place(results_[i].bytes());
  }
  if (kernel_->workspace_bytes != nullptr) {
    const backend::Launch launch{
        .op = &built_.op(), .inputs = inputs_, .output = output_, .results = results_, .workspace = {}};
    workspace_ = backend.allocate(std::max<size_t>(kernel_->workspace_bytes(backend, launch), 1));
  }
}

double TimedCase::batch_us(size_t copies, size_t launches) {
  std::vector<Tensor> operands;
  std::vector<backend::Launch> all;
  operands.reserve(launches * (inputs_.size() + results_.size()));
  for (size_t i = 0; i < launches; ++i) {
    std::byte* copy = arena_.data() + next_copy_++ % copies * moving_bytes_;
    const Tensor* first = operands.data() + operands.size();
    operands.insert(operands.end(), inputs_.begin(), inputs_.end());
    Tensor* own = operands.data() + operands.size() - inputs_.size();
    for (size_t input : moving_) {
      own[input].data = copy;
      copy += aligned(own[input].bytes());
    }
    backend::Launch launch{.op = &built_.op(),
                           .inputs = {first, inputs_.size()},
                           .output = output_,
                           .results = {},
                           .workspace = {static_cast<std::byte*>(workspace_.data()), workspace_.bytes()}};
    if (const auto alias = built_.op().alias_of()) launch.output.data = own[static_cast<size_t>(*alias)].data;
    for (size_t r = 0; r < results_.size(); ++r) {
      operands.push_back(results_[r]);
      if (const auto alias = aliased_input(built_, r)) operands.back().data = own[*alias].data;
    }
    launch.results = {first + inputs_.size(), results_.size()};
    all.push_back(launch);
  }
  const std::vector<const backend::Kernel*> kernels(launches, kernel_);
  const Clock::time_point start = Clock::now();
  backend_.submit({.kernels = kernels, .launches = all});
  backend_.synchronize();
  return us_since(start) / static_cast<double>(launches);
}

Sample TimedCase::measure(double set_bytes) {
  constexpr double kBatchUs = 150;       // launches of a batch take about so long
  constexpr double kEnoughUs = 3000;     // all batches together
  constexpr double kTooLongUs = 60000;   // but no more batches after so long
  constexpr size_t kMostLaunches = 512;  // of a batch
  constexpr size_t kLeastBatches = 3;
  constexpr size_t kMostBatches = 48;
  constexpr size_t kWarmBytes = size_t{128} << 20;  // larger sets stay in no cache
  size_t copies = 1;
  if (moving_bytes_ > 0) {
    const double most = std::min(std::max(set_bytes, 1.0), arena_.bytes());
    copies = std::max<size_t>(1, static_cast<size_t>(most) / moving_bytes_);
  }
  const bool is_warmed = copies * moving_bytes_ <= kWarmBytes;
  const double first = batch_us(copies, is_warmed ? copies : 1);
  const auto launches =
      std::clamp<size_t>(static_cast<size_t>(kBatchUs / std::max(first, 0.01)), 1, kMostLaunches);
  std::vector<double> batches;
  double total = 0;
  while (batches.size() < kLeastBatches || (total < kEnoughUs && batches.size() < kMostBatches)) {
    batches.push_back(batch_us(copies, launches));
    total += batches.back() * static_cast<double>(launches);
    if (total > kTooLongUs) break;
  }
  // An eighth from below: whoever else uses the machine only adds time; the very fastest may be luck of the
  // caches.
  const auto typical = batches.begin() + static_cast<std::ptrdiff_t>(batches.size() / 8);
  std::nth_element(batches.begin(), typical, batches.end());
  const auto rows = output_.shape.rank() > 0 ? static_cast<double>(output_.shape[0]) : 1;
  return {.work = work_of(built_.op(), inputs_, output_),
          .rows = rows,
          .set_bytes = static_cast<double>(copies * moving_bytes_),
          .us = *typical};
}

}  // namespace ingot::exec
