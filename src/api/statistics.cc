#include "api/llm_impl.h"
#include "exec/plan.h"

namespace ingot {
namespace {

PoolStatistics pool_of(const backend::Backend& backend) {
  const BufferPoolStatistics pool = backend.pool_statistics();
  const backend::ImportStatistics imports = backend.import_statistics();
  return {.device = std::string(backend.name()),
          .weight_bytes = static_cast<int64_t>(imports.bytes),
          .weight_seconds = imports.seconds,
          .weight_threads = imports.threads,
          .in_use_bytes = static_cast<int64_t>(pool.in_use_bytes),
          .cached_bytes = static_cast<int64_t>(pool.cached_bytes),
          .peak_bytes = static_cast<int64_t>(pool.peak_bytes),
          .hits = static_cast<int64_t>(pool.hits),
          .misses = static_cast<int64_t>(pool.misses),
          .evictions = static_cast<int64_t>(pool.evictions)};
}

/// Launches of a step's plan if every fusion pass is off.
int64_t unfused_launches(const exec::Plan& plan, const api::Devices& devices, CompileOptions options) {
  options.no_fuse = {"all"};
  options.strict = false;  // only counted, never run
  options.memory.clear();
  const auto unfused = exec::compile(plan.source, plan.bucket, plan.step, devices.devices, options);
  return static_cast<int64_t>(unfused->launches.size());
}

}  // namespace

Statistics LLM::statistics() const {
  const serve::Stepper& stepper = impl_->get_engine().stepper();
  const kv::PagedCache& cache = stepper.cache();
  const exec::RunnerStatistics run = stepper.statistics();
  const exec::PlanCacheStatistics plans = impl_->plans.statistics();
  const exec::Plan& prefill = stepper.plan(backend::StepClass::prefill);
  const exec::Plan& decode = stepper.plan(backend::StepClass::decode);
  const CompileOptions& options = impl_->options.compile;
  Statistics statistics;
  for (const auto& backend : impl_->devices.backends) statistics.pools.push_back(pool_of(*backend));
  statistics.kv_page_tokens = kv::kPageTokens;
  statistics.kv_pages = cache.total_pages() - 1;  // page 0 is nobody's
  statistics.kv_pages_used = statistics.kv_pages - cache.free_pages();
  statistics.kv_pages_peak = cache.peak_pages();
  statistics.steps = static_cast<int64_t>(run.steps);
  statistics.launches = static_cast<int64_t>(run.launches);
  statistics.transfers = static_cast<int64_t>(run.transfers);
  statistics.bytes_moved = static_cast<int64_t>(run.bytes_moved);
  statistics.prefill_step_launches = static_cast<int64_t>(prefill.launches.size());
  statistics.decode_step_launches = static_cast<int64_t>(decode.launches.size());
  statistics.prefill_step_launches_unfused = unfused_launches(prefill, impl_->devices, options);
  statistics.decode_step_launches_unfused = unfused_launches(decode, impl_->devices, options);
  statistics.plan_cache_hits = static_cast<int64_t>(plans.hits);
  statistics.plan_cache_misses = static_cast<int64_t>(plans.misses);
  statistics.plan_cache_entries = static_cast<int64_t>(plans.entries);
  return statistics;
}

}  // namespace ingot
