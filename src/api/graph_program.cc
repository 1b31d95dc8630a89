#include "api/graph_program.h"

#include <fmt/ranges.h>

#include <bit>
#include <cstring>

#include "api/graph_builder.h"
#include "graph/print.h"

namespace ingot {

using api::guarded;
using graph::NodeKind;
using graph::Symbol;
using graph::Tensor;

namespace {

std::string describe(const Array& array) {
  return fmt::format("{}{}", to_string(array.dtype()), to_string(array.shape()));
}
std::string describe(const Tensor& tensor) {
  return fmt::format("{}{}", to_string(tensor.dtype), to_string(tensor.shape));
}

template <class Range>
std::string names_of(const Range& range) {
  std::string text;
  for (const auto& entry : range) text += fmt::format("{}'{}'", text.empty() ? "" : ", ", entry);
  return text.empty() ? "none" : text;
}

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace

Array Outputs::operator[](std::string_view name) const {
  const auto found = arrays_.find(name);
  if (found != arrays_.end()) return found->second;
  std::vector<std::string_view> names;
  for (const auto& [known, array] : arrays_) names.push_back(known);
  fail(ErrorCode::invalid_argument, "outputs: expected one of {}, found '{}'", names_of(names), name);
}

const graph::Output* Program::Impl::find_output(std::string_view name) const {
  for (const graph::Output& output : graph->outputs()) {
    if (output.name == name) return &output;
  }
  return nullptr;
}

graph::DimValues Program::Impl::bind(const NamedArrays& arrays) const {
  graph::DimValues dims;
  const Input* bound_by = nullptr;  // the input that T comes from
  for (const Input& input : inputs) {
    const auto found = arrays.find(input.name);
    if (found == arrays.end()) {
      fail(ErrorCode::invalid_argument, "run: input '{}': expected {}, found none", input.name,
           to_string(input.type));
    }
    const Array& array = found->second;
    const auto refuse = [&] {
      const std::string bound =
          bound_by != nullptr && bound_by != &input
              ? fmt::format(" with T = {} as in '{}'", dims[Symbol::tokens], bound_by->name)
              : "";
      fail(ErrorCode::invalid_argument, "run: input '{}': expected {}{}, found {}", input.name,
           to_string(input.type), bound, describe(array));
    };
    if (array.dtype() != input.type.dtype || array.shape().rank() != input.type.rank()) refuse();
    for (int axis = 0; axis < input.type.rank(); ++axis) {
      const Dim dim = api::to_public(input.type.dim(axis));
      const int64_t offset = dim.at(0);
      const int64_t length = array.shape()[axis];
      if (bound_by == nullptr && !dim.is_fixed()) {
        const int64_t factor = dim.at(1) - offset;
        if (length < offset || (length - offset) % factor != 0) refuse();
        dims[Symbol::tokens] = (length - offset) / factor;
        bound_by = &input;
      }
      if (length != input.type.dim(axis).bind(dims)) refuse();
    }
  }
  if (arrays.size() == inputs.size()) return dims;
  for (const auto& [name, array] : arrays) {
    const auto is_it = [&](const Input& input) { return input.name == name; };
    if (std::any_of(inputs.begin(), inputs.end(), is_it)) continue;
    std::vector<std::string_view> names;
    for (const Input& input : inputs) names.push_back(input.name);
    fail(ErrorCode::invalid_argument, "run: expected the inputs {}, found one named '{}'", names_of(names),
         name);
  }
  return dims;
}

void Program::Impl::step(const NamedArrays& arrays) {
  const graph::DimValues dims = bind(arrays);
  const auto tensor_of = [&](graph::Value source) {
    const graph::Node& node = graph->node(source);
    const Array& array = node.kind == NodeKind::weight  ? node.weight
                         : node.kind == NodeKind::state ? states.find(node.name)->second
                                                        : arrays.find(node.name)->second;
    return Tensor{const_cast<std::byte*>(array.raw()), array.dtype(), array.shape()};
  };
  checks.run(*graph, dims, tensor_of);
  const int64_t length = dims[Symbol::tokens];
  if (length > counted.most) plan_for(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(length))));
  for (const Input& input : inputs) {
    const Array& array = arrays.find(input.name)->second;
    if (input.buffer != nullptr) copy_bytes(input.buffer, array.raw(), array.bytes());
  }
  runner->run(0, dims);
  ++counted.runs;
}

Program::Program(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;

Outputs Program::run(const NamedArrays& inputs) {
  return guarded("run", [&] {
    impl_->step(inputs);
    NamedArrays arrays;
    for (const graph::Output& output : impl_->graph->outputs()) {
      const Tensor tensor = impl_->output(output.name);
      arrays.emplace(output.name, Array::copy(tensor.data, tensor.bytes(), tensor.dtype, tensor.shape));
    }
    return Outputs(std::move(arrays));
  });
}

void Program::run_into(const NamedArrays& inputs, NamedArrays& outputs) {
  guarded("run", [&] {
    const graph::DimValues dims = impl_->bind(inputs);
    for (auto& [name, array] : outputs) {
      const graph::Output* output = impl_->find_output(name);
      if (output == nullptr) {
        std::vector<std::string_view> names;
        for (const graph::Output& known : impl_->graph->outputs()) names.push_back(known.name);
        fail(ErrorCode::invalid_argument, "run: expected outputs among {}, found '{}'", names_of(names),
             name);
      }
      const Tensor tensor = exec::shape_of(*impl_->graph, output->value, dims);
      if (array.dtype() != tensor.dtype || array.shape() != tensor.shape) {
        fail(ErrorCode::invalid_argument, "run: output '{}': expected {}, found {}", name, describe(tensor),
             describe(array));
      }
      if (!array.writable()) {
        fail(ErrorCode::invalid_argument,
             "run: output '{}': expected a writable array, found a read-only one", name);
      }
    }
    impl_->step(inputs);
    for (auto& [name, array] : outputs)
      copy_bytes(array.mutable_raw(), impl_->output(name).data, array.bytes());
  });
}

Array Program::state(std::string_view name) const {
  return guarded("state", [&] {
    impl_->expect_host_states("state");
    const auto found = impl_->states.find(name);
    if (found != impl_->states.end()) return found->second;
    std::vector<std::string_view> names;
    for (const auto& [known, array] : impl_->states) names.push_back(known);
    fail(ErrorCode::invalid_argument, "state: expected one of {}, found '{}'", names_of(names), name);
  });
}

std::string Program::to_text(GraphStage stage) const {
  return guarded("program", [&] {
    return graph::to_text(stage == GraphStage::built ? *impl_->graph : *impl_->plan->graph);
  });
}

ProgramStatistics Program::Impl::statistics() const {
  ProgramStatistics statistics = counted;
  statistics.compiles = static_cast<int64_t>(plans.statistics().misses);
  statistics.launches = static_cast<int64_t>(plan->launches.size());
  for (const exec::DeviceBytes& bytes : plan->bytes)
    statistics.arena_bytes += static_cast<int64_t>(bytes.arena + bytes.workspace);
  statistics.input_bytes = static_cast<int64_t>(runner->bytes()) - statistics.arena_bytes;
  statistics.moved_bytes = static_cast<int64_t>(moved_bytes_before + runner->statistics().bytes_moved);
  return statistics;
}

ProgramStatistics Program::statistics() const {
  return impl_->statistics();
}

std::vector<std::string> Program::notes() const {
  return impl_->plan->notes;
}

}  // namespace ingot
