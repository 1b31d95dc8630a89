// Every launch of a prefill and a decode step of a checkpoint, predicted and measured.
//
// Usage: bench_launches FOLDER [PROMPT_TOKENS [THREADS]]. Ends with the median error over the launches that
// together take 90 % of the time.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>

#include "backend/registry.h"
#include "exec/calibrate.h"
#include "exec/cost.h"
#include "format/hf_folder.h"
#include "kv/sequence_pages.h"
#include "serve/stepper.h"

namespace {

using namespace ingot;
using backend::StepClass;
using Clock = std::chrono::steady_clock;

struct Timed {
  std::string op;
  std::string kernel;
  std::string shape;
  double predicted_us = 0;
  std::vector<double> us;
  /// The best: of a busy machine the quiet moments.
  double measured_us() const {
    std::vector<double> sorted = us;
    std::sort(sorted.begin(), sorted.end());
    return sorted.front();
  }
};

/// A backend that times each launch of another.
class TimingBackend final : public backend::Backend {
 public:
  explicit TimingBackend(backend::Backend& inner) : inner_(inner) {}
  std::string_view name() const override { return inner_.name(); }
  backend::Limits limits() const override { return inner_.limits(); }
  backend::Peaks measure_peaks() override { return inner_.measure_peaks(); }
  PooledBuffer allocate(size_t bytes) override { return inner_.allocate(bytes); }
  BufferPoolStatistics pool_statistics() const override { return inner_.pool_statistics(); }
  PooledBuffer allocate_host(size_t bytes) override { return inner_.allocate_host(bytes); }
  std::shared_ptr<const void> import_host(const void* data, size_t bytes) override {
    return inner_.import_host(data, bytes);
  }
  void zero(void* data, size_t bytes) override { inner_.zero(data, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { inner_.copy(to, from, bytes); }
  const backend::Kernel* find_kernel(const backend::KernelQuery& query) const override {
    return inner_.find_kernel(query);
  }
  std::span<const backend::Kernel> kernels() const override { return inner_.kernels(); }
  uint64_t submit(const backend::Slice& slice) override {
    const auto kernels = slice.kernels;
    const auto launches = slice.launches;
    timed.resize(launches.size());
    for (size_t i = 0; i < launches.size(); ++i) {
      const Clock::time_point start = Clock::now();
      inner_.submit({.kernels = kernels.subspan(i, 1), .launches = launches.subspan(i, 1)});
      inner_.synchronize();
      timed[i].us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
      const backend::Launch& launch = launches[i];
      timed[i].op = launch.op->name();
      timed[i].kernel = kernels[i]->name;
      timed[i].predicted_us =
          exec::predict_us(*costs, *kernels[i], *launch.op, launch.inputs, launch.output, working_set);
      timed[i].shape.clear();
      for (const graph::Tensor& input : launch.inputs)
        timed[i].shape += fmt::format("{}{} ", to_string(input.dtype), to_string(input.shape));
    }
    return 0;
  }
  void wait(uint64_t ticket) override { inner_.wait(ticket); }
  void synchronize() override {}

  std::vector<Timed> timed;
  const exec::DeviceCosts* costs = nullptr;
  double working_set = 0;

 private:
  backend::Backend& inner_;
};

void report(const char* step, std::vector<Timed>& timed) {
  double total = 0;
  double predicted = 0;
  for (const Timed& launch : timed) {
    total += launch.measured_us();
    predicted += launch.predicted_us;
  }
  std::sort(timed.begin(), timed.end(),
            [](const Timed& a, const Timed& b) { return a.measured_us() > b.measured_us(); });
  struct Kind {
    int count = 0;
    double measured = 0;
    double predicted = 0;
  };
  std::map<std::string, Kind> kinds;
  std::vector<double> errors;
  double covered = 0;
  for (const Timed& launch : timed) {
    Kind& kind = kinds[launch.op + " " + launch.kernel + " " + launch.shape];
    ++kind.count;
    kind.measured += launch.measured_us();
    kind.predicted += launch.predicted_us;
    if (covered < 0.9 * total) errors.push_back(std::abs(launch.predicted_us / launch.measured_us() - 1));
    covered += launch.measured_us();
  }
  std::vector<std::pair<std::string, Kind>> rows(kinds.begin(), kinds.end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.second.measured > b.second.measured; });
  fmt::print("{}: measured {:.1f} us, predicted {:.1f} us\n", step, total, predicted);
  for (const auto& [name, kind] : rows) {
    if (kind.measured < 0.003 * total) continue;
    fmt::print("  {:5.1f} %  {:3} x {:9.1f} us, predicted {:9.1f} us ({:+6.1f} %)  {}\n",
               100 * kind.measured / total, kind.count, kind.measured / kind.count,
               kind.predicted / kind.count, 100 * (kind.predicted / kind.measured - 1), name);
  }
  std::sort(errors.begin(), errors.end());
  fmt::print("  median error over the {} launches that take 90 %: {:.1f} %\n", errors.size(),
             100 * errors[errors.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_launches FOLDER [PROMPT_TOKENS [THREADS]]\n");
    return 2;
  }
  const int64_t prompt = argc > 2 ? std::atoll(argv[2]) : 256;
  const auto inner = backend::make_backend("cpu", {.threads = argc > 3 ? std::atoi(argv[3]) : 0});
  const exec::Calibration calibration = exec::calibrate(*inner);
  fmt::print("calibrated in {:.2f} s: launch {:.2f} us\n", calibration.seconds, calibration.costs.launch_us);
  for (const exec::KernelCosts& kernel : calibration.costs.kernels) {
    fmt::print("  {:<12} {:<18} {:<5} {:<7} {:7.2f} us;", kernel.op, kernel.kernel, to_string(kernel.weight),
               kernel.layout, kernel.launch_us);
    for (const auto& point : kernel.gbps.points)
      fmt::print(" {:.1f}:{:.1f}", point.size / 0x1p20, point.rate);
    fmt::print(" GB/s;");
    for (const auto& point : kernel.gflops.points) fmt::print(" {}:{:.0f}", point.size, point.rate);
    fmt::print(" GFLOP/s\n");
  }

  TimingBackend backend(*inner);
  backend.costs = &calibration.costs;
  auto model =
      std::make_shared<model::Model>(std::make_shared<format::HfFolder>(format::HfFolder::open(argv[1])));
  constexpr int64_t kSteps = 120;
  serve::Stepper stepper(model, backend, serve::Head::tokens,
                         {.sequences = 1,
                          .context = prompt + kSteps + 1,
                          .prefill_tokens = prompt,
                          .cache_tokens = 0,
                          .prefill_rows = 0});
  graph::DimValues dims;
  dims[graph::Symbol::tokens] = 1;
  dims[graph::Symbol::sequences] = 1;
  dims[graph::Symbol::pages] = kv::pages_for(prompt);
  dims[graph::Symbol::logit_rows] = 1;
  dims[graph::Symbol::cache_pages] = 1;
  dims[graph::Symbol::slots] = 1;
  backend.working_set = exec::step_weight_bytes(stepper.plan(StepClass::decode), dims) +
                        static_cast<double>(model->kv_layout().token_bytes() * prompt);
  fmt::print("working set {:.1f} MiB\n", backend.working_set / 0x1p20);
  kv::SequencePages pages(stepper.cache(), prompt + kSteps + 1);
  pages.grow(prompt + kSteps + 1);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < prompt + kSteps; ++i)
    tokens.push_back(static_cast<int32_t>((i * 7919 + 13) % model->dimensions().vocab));
  const auto feed = [&](StepClass step, int64_t from, int64_t to) {
    serve::StepSequence part;
    part.tokens = {tokens.data() + from, static_cast<size_t>(to - from)};
    part.position = from;
    part.pages = pages.pages();
    part.logit_rows = 1;
    stepper.run(step, {&part, 1});
  };
  for (int i = 0; i < 20; ++i) {
    feed(StepClass::prefill, 0, prompt);
    if (i == 0) backend.timed.clear();  // warm-up
  }
  report("prefill", backend.timed);
  backend.timed.clear();
  for (int64_t i = 0; i < kSteps; ++i) feed(StepClass::decode, prompt + i, prompt + i + 1);
  report("decode", backend.timed);
  return 0;
}
