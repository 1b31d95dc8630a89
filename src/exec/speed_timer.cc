#include "exec/speed_timer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>

#include "backend/slice_ids.h"
#include "exec/plan.h"

namespace ingot::exec {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Tensor;
using graph::Value;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kAlignment = 256;
/// Cases that touch less stay in the caches, as the small values of a step do; others move on through the
/// store.
constexpr size_t kMovingBytes = size_t{4} << 20;
constexpr double kBatchUs = 1500;       // sets of launches submitted together take at least about so long
constexpr double kLongUs = 300'000;     // a set that takes longer is timed once
constexpr size_t kMostLaunches = 2048;  // of a batch
constexpr size_t kLeastBatches = 3;
constexpr size_t kMostBatches = 25;
constexpr size_t kPieceBytes = size_t{64} << 20;  // of a transfer

size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Tensor shape_of(const Graph& graph, Value value) {
  return exec::shape_of(graph, value, {});
}

std::vector<Tensor> shapes_of_inputs(const Graph& graph, const Node& node) {
  std::vector<Tensor> inputs;
  inputs.reserve(node.inputs.size());
  for (Value input : node.inputs) inputs.push_back(shape_of(graph, input));
  return inputs;
}

/// Places that follow each other in a block of memory, and begin anew where it ends.
class Places {
 public:
  Places() = default;
  explicit Places(const PooledBuffer& memory)
      : data_(static_cast<std::byte*>(memory.data())), size_(memory.bytes()) {}
  size_t size() const { return size_; }
  /// The next `bytes` go together.
  void begin(size_t bytes) {
    if (next_ + bytes > size_) next_ = 0;
  }
  void* take(size_t bytes) {
    std::byte* place = data_ + next_;
    next_ += aligned(bytes);
    return place;
  }
  void restart() { next_ = 0; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t next_ = 0;
};

/// Uniform in [-1, 1): as bf16 and, two of them, as f32. Real numbers draw the power that real work draws.
void fill_random(backend::Backend& backend, const PooledBuffer& store) {
  std::vector<dtype::Bf16> pattern(size_t{4} << 20);
  uint64_t state = 1;
  for (dtype::Bf16& value : pattern) {
    state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
    value = dtype::encode_bf16(static_cast<float>(static_cast<int64_t>(state) >> 40) * 0x1p-23F);
  }
  const size_t step = pattern.size() * sizeof(pattern[0]);
  for (size_t at = 0; at < store.bytes(); at += step) {
    backend.copy(static_cast<std::byte*>(store.data()) + at, pattern.data(),
                 std::min(step, store.bytes() - at));
  }
}

}  // namespace

Work work_of(const SpeedCase& speed_case, bool is_unfused) {
  const std::optional<Graph> unfused = is_unfused ? unfused_graph(speed_case) : std::nullopt;
  const Graph& graph = unfused ? *unfused : speed_case.graph;
  Work sum;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (!is_launched(node)) continue;
    const Work work =
        work_of(*node.op, shapes_of_inputs(graph, node), shape_of(graph, {static_cast<int32_t>(i)}));
    sum.flops += work.flops;
    sum.bytes += work.bytes;
  }
  return sum;
}

/// A case's launches. A set is every op once; sets differ in where their operands are.
struct SpeedTimer::Chain {
  struct Step {
    const backend::Kernel* kernel = nullptr;
    size_t node = 0;
    int in_place = -1;  // the input whose storage the output takes
  };
  std::vector<Step> steps;
  std::vector<OperandKind> kinds;
  std::vector<Tensor> tensors;         // by node: shapes, and the addresses of the set made last
  std::vector<PooledBuffer> integers;  // keep those alive
  size_t read_bytes = 0;               // of a set
  size_t written_bytes = 0;
  bool moves = false;
  Places store;
  Places scratch;
  std::deque<std::vector<Tensor>> operands;  // of each launch
  std::vector<backend::Launch> launches;
  std::vector<const backend::Kernel*> kernels;
  double limit_us = 0;

  size_t sets() const { return steps.empty() ? 0 : launches.size() / steps.size(); }
  /// How many sets have places of their own.
  size_t apart() const {
    if (!moves) return 1;
    size_t most = SIZE_MAX;
    if (read_bytes > 0) most = std::min(most, store.size() / read_bytes);
    if (written_bytes > 0) most = std::min(most, scratch.size() / written_bytes);
    return std::max<size_t>(1, most);
  }
};

SpeedTimer::SpeedTimer(backend::Backend& backend, size_t store_bytes, double batches_us)
    : backend_(backend), batches_us_(batches_us), peaks_(backend.measure_peaks()) {
  store_ = backend.allocate(store_bytes);
  scratch_ = backend.allocate(store_bytes / 2);
  fill_random(backend, store_);
  backend.zero(scratch_.data(), scratch_.bytes());
}

bool SpeedTimer::prepare(const SpeedCase& speed_case, const Graph& graph, Chain& chain,
                         std::string& why_not) {
  chain.kinds = speed_case.kinds;
  chain.store = Places(store_);
  chain.scratch = Places(scratch_);
  std::vector<int> readers(graph.nodes().size(), 0);
  for (const Node& node : graph.nodes()) {
    for (Value input : node.inputs) ++readers[static_cast<size_t>(input.id)];
  }
  size_t workspace_bytes = 0;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const Value value{static_cast<int32_t>(i)};
    chain.tensors.push_back(shape_of(graph, value));
    Tensor& tensor = chain.tensors.back();
    if (node.kind == NodeKind::input) {
      if (chain.kinds[i] == OperandKind::integers) {
        chain.integers.push_back(backend_.allocate(std::max<size_t>(tensor.bytes(), 1)));
        tensor.data = chain.integers.back().data();
        backend_.copy(tensor.data, speed_case.integers.at(value.id).data(), tensor.bytes());
      } else {
        chain.read_bytes += aligned(tensor.bytes());
      }
      continue;
    }
    if (!is_launched(node)) continue;
    Chain::Step step{.kernel = nullptr, .node = i};
    std::vector<graph::TensorType> types;
    types.reserve(node.inputs.size());
    for (Value input : node.inputs) types.push_back(graph.type(input));
    step.kernel =
        backend_.find_kernel({.op = *node.op, .inputs = types, .output = node.type, .step = speed_case.step});
    if (step.kernel == nullptr) {
      why_not = fmt::format("no kernel for {}", node.op->name());
      return false;
    }
    const std::vector<Tensor> inputs = shapes_of_inputs(graph, node);
    for (size_t k = 0; k < inputs.size() && step.in_place < 0; ++k) {
      const auto input = static_cast<size_t>(node.inputs[k].id);
      const bool is_free = graph.nodes()[input].kind == NodeKind::op && readers[input] == 1;
      if (is_free && node.op->in_place(static_cast<int>(k)) && inputs[k].bytes() == tensor.bytes())
        step.in_place = static_cast<int>(k);
    }
    if (step.in_place < 0) chain.written_bytes += aligned(tensor.bytes());
    if (step.kernel->workspace_bytes != nullptr) {
      const backend::Launch launch{
          .op = node.op.get(), .inputs = inputs, .output = tensor, .results = {}, .workspace = {}};
      workspace_bytes = std::max(workspace_bytes, step.kernel->workspace_bytes(backend_, launch));
    }
    const Work work = work_of(*node.op, inputs, tensor);
    // What rounds operands does so for units of 16-bit products.
    const double gflops =
        step.kernel->rounding > 0 && peaks_.matrix16_gflops > 0 ? peaks_.matrix16_gflops : peaks_.f32_gflops;
    chain.limit_us += std::max(work.bytes / peaks_.read_gbps, work.flops / gflops) * 1e-3;
    chain.steps.push_back(step);
  }
  if (chain.read_bytes > store_.bytes() || chain.written_bytes > scratch_.bytes()) {
    why_not = "larger than the memory set aside";
    return false;
  }
  if (workspace_bytes > workspace_.bytes()) {
    workspace_ = {};
    workspace_ = backend_.allocate(workspace_bytes);
  }
  chain.moves = chain.read_bytes + chain.written_bytes >= kMovingBytes;
  return true;
}

void SpeedTimer::add_set(const Graph& graph, Chain& chain) {
  if (!chain.moves) {
    chain.store.restart();
    chain.scratch.restart();
  }
  chain.store.begin(chain.read_bytes);
  chain.scratch.begin(chain.written_bytes);
  for (size_t i = 0; i < chain.kinds.size(); ++i) {
    if (chain.kinds[i] != OperandKind::integers)
      chain.tensors[i].data = chain.store.take(chain.tensors[i].bytes());
  }
  for (const Chain::Step& step : chain.steps) {
    const Node& node = graph.nodes()[step.node];
    std::vector<Tensor>& operands = chain.operands.emplace_back();
    operands.reserve(node.inputs.size());
    for (Value input : node.inputs)
      operands.push_back(chain.tensors[static_cast<size_t>(viewed(graph, input).id)]);
    for (size_t k = 0; k < operands.size(); ++k) operands[k].shape = shape_of(graph, node.inputs[k]).shape;
    Tensor& output = chain.tensors[step.node];
    output.data = step.in_place >= 0 ? operands[static_cast<size_t>(step.in_place)].data
                                     : chain.scratch.take(output.bytes());
    chain.launches.push_back({.op = node.op.get(),
                              .inputs = operands,
                              .output = output,
                              .results = {},
                              .workspace = {static_cast<std::byte*>(workspace_.data()), workspace_.bytes()}});
    chain.kernels.push_back(step.kernel);
  }
}

double SpeedTimer::submit_us(const Chain& chain, size_t first_set, size_t sets, uint64_t id) {
  const size_t first = first_set * chain.steps.size();
  const size_t count = sets * chain.steps.size();
  const std::span<const backend::Launch> launches = chain.launches;
  const std::span<const backend::Kernel* const> kernels = chain.kernels;
  const Clock::time_point start = Clock::now();
  backend_.submit(
      {.kernels = kernels.subspan(first, count), .launches = launches.subspan(first, count), .id = id});
  backend_.synchronize();
  return us_since(start);
}

double SpeedTimer::typical_us(const Graph& graph, Chain& chain) {
  const size_t most_sets = std::max<size_t>(1, kMostLaunches / chain.steps.size());
  const auto grow = [&](size_t sets) {
    while (chain.sets() < sets) add_set(graph, chain);
  };
  // The first launch sets things up; single ones tell more of the way to the device than of the device.
  grow(1);
  submit_us(chain, 0, 1, 0);
  double us = submit_us(chain, 0, 1, 0);
  if (us > kLongUs) return us;
  size_t sets = 1;
  for (int i = 0; i < 2; ++i) {
    sets = std::clamp<size_t>(static_cast<size_t>(std::ceil(kBatchUs / us)), 1, most_sets);
    grow(sets);
    us = submit_us(chain, 0, sets, 0) / static_cast<double>(sets);
  }
  sets = std::clamp<size_t>(static_cast<size_t>(std::ceil(kBatchUs / us)), 1, most_sets);
  const size_t apart = std::min(chain.apart(), most_sets);
  const bool records = backend_.limits().records_slices;
  if (records) sets = std::max(sets, apart);  // a recording has its addresses; let it go through all of them
  grow(std::max(sets, apart));
  uint64_t id = 0;
  if (records) {
    id = backend::take_slice_ids(1);
    submit_us(chain, 0, sets, id);  // as it comes, the first time
    submit_us(chain, 0, sets, id);  // recorded
  }
  std::vector<double> times;
  double total = 0;
  size_t first = 0;
  while (times.size() < kLeastBatches || (total < batches_us_ && times.size() < kMostBatches)) {
    if (first + sets > chain.sets()) first = 0;
    const double batch_us = submit_us(chain, first, sets, id);
    first += records ? 0 : sets;
    times.push_back(batch_us / static_cast<double>(sets));
    total += batch_us;
    if (total > kLongUs) break;
  }
  return median(std::move(times));
}

std::optional<SpeedTiming> SpeedTimer::measure(const SpeedCase& speed_case, bool is_unfused,
                                               std::string& why_not) {
  const std::optional<Graph> unfused = is_unfused ? unfused_graph(speed_case) : std::nullopt;
  const Graph& graph = unfused ? *unfused : speed_case.graph;
  Chain chain;
  if (!prepare(speed_case, graph, chain, why_not)) return std::nullopt;
  SpeedTiming timing{
      .work = work_of(speed_case, is_unfused), .us = typical_us(graph, chain), .share = 0, .kernels = {}};
  timing.share = chain.limit_us / timing.us;
  for (const Chain::Step& step : chain.steps) timing.kernels.emplace_back(step.kernel->name);
  return timing;
}

double SpeedTimer::copies_us(size_t bytes, bool to_device) {
  if (host_.bytes() == 0) host_ = backend_.allocate_host(std::min(kPieceBytes, scratch_.bytes()));
  std::vector<backend::Copy> copies;
  for (size_t at = 0; at < bytes; at += host_.bytes()) {
    const size_t piece = std::min(host_.bytes(), bytes - at);
    std::byte* device = static_cast<std::byte*>(scratch_.data()) + at % (scratch_.bytes() - piece + 1);
    if (to_device) {
      copies.push_back({.to = device, .from = host_.data(), .bytes = piece});
    } else {
      copies.push_back({.to = host_.data(), .from = device, .bytes = piece});
    }
  }
  std::vector<double> times;
  for (int i = 0; i < 4; ++i) {
    const Clock::time_point start = Clock::now();
    backend_.submit({.copies_in = copies, .kernels = {}, .launches = {}});
    backend_.synchronize();
    if (i > 0) times.push_back(us_since(start));
    if (i == 1 && times[0] > kLongUs / 3) break;
  }
  return median(std::move(times));
}

SpeedTimer::Transfer SpeedTimer::measure_transfer(const SpeedCase& speed_case) {
  if (backend_.limits().shares_host_memory) return {};
  size_t bytes = 0;
  for (size_t i = 0; i < speed_case.kinds.size(); ++i)
    bytes += shape_of(speed_case.graph, {static_cast<int32_t>(i)}).bytes();
  return {.to_device_us = copies_us(bytes, true),
          .from_device_us = copies_us(shape_of(speed_case.graph, speed_case.result).bytes(), false)};
}

}  // namespace ingot::exec
