// MemoryPlanner: what a model takes on each device, from its plans alone: nothing is set aside, no weight
// read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/devices.h"
#include "exec/plan_cache.h"
#include "ingot/llm.h"
#include "model/model.h"
#include "serve/stepper_limits.h"

namespace ingot::api {

/// The limits that an LLM generates within.
serve::StepperLimits stepper_limits(const Devices& devices, int64_t context, int64_t sequences);

/// Bytes of this process that are in memory, pages of files included.
int64_t resident_bytes();

/// Holds references: model, devices and options outlive it. Used by one thread.
class MemoryPlanner {
 public:
  /// `plans` keeps those of the configuration that is asked about, for who runs it; null: nobody does.
  MemoryPlanner(const model::Model& model, const Devices& devices, const CompileOptions& options,
                exec::PlanCache* plans = nullptr);

  /// Returns the plans' notes. Errors: invalid_argument where it cannot fit, with what would; those of
  /// compile.
  std::vector<std::string> expect_fit(int64_t context, int64_t sequences) const;
  /// The same with the bytes of every device and what else would fit.
  MemoryPlan plan(int64_t context, int64_t sequences) const;

 private:
  struct Need {
    std::vector<DeviceMemoryPlan> devices;
    std::vector<std::string> notes;
    bool is_routed = true;  // false: the caps leave no room; bytes are those without caps
  };
  /// Errors: as expect_fit().
  Need fitting(int64_t context, int64_t sequences) const;
  Need need(int64_t context, int64_t sequences, exec::PlanCache* plans) const;
  Need compile(int64_t context, int64_t sequences, const CompileOptions& options,
               exec::PlanCache* plans) const;
  /// What counts against a device's capacity: not the program where the user's cap is meant for the model.
  int64_t taken(const DeviceMemoryPlan& device) const;
  bool fits(const Need& need) const;
  bool fits(int64_t context, int64_t sequences) const;
  [[noreturn]] void refuse(const Need& need, int64_t context, int64_t sequences) const;
  int64_t largest_context(int64_t sequences) const;
  int64_t most_sequences(int64_t context) const;

  const model::Model& model_;
  const Devices& devices_;
  const CompileOptions& options_;
  exec::PlanCache* plans_;
};

/// "41.2 GiB"
std::string bytes_text(int64_t bytes);

}  // namespace ingot::api
