// The table and the JSON of Statistics.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

double per_step(const Statistics& statistics) {
  return statistics.steps == 0
             ? 0
             : static_cast<double>(statistics.launches) / static_cast<double>(statistics.steps);
}

void print_row(std::string_view name, const std::string& text) {
  fmt::print(stderr, "  {:<13} {}\n", name, text);
}

/// "41 a step (decode), 140 unfused"
std::string fusion_text(int64_t now, int64_t unfused) {
  return fmt::format("{} launches, {} unfused ({:.2f} x)", now, unfused,
                     now == 0 ? 0 : static_cast<double>(unfused) / static_cast<double>(now));
}

nlohmann::ordered_json to_json(const PoolStatistics& pool) {
  return {{"device", pool.device},
          {"in_use_bytes", pool.in_use_bytes},
          {"cached_bytes", pool.cached_bytes},
          {"peak_bytes", pool.peak_bytes},
          {"hits", pool.hits},
          {"misses", pool.misses},
          {"evictions", pool.evictions},
          {"weight_bytes", pool.weight_bytes},
          {"weight_seconds", pool.weight_seconds},
          {"weight_threads", pool.weight_threads}};
}

}  // namespace

void print_statistics(const Statistics& statistics) {
  std::fputs("statistics\n", stderr);
  for (const PoolStatistics& pool : statistics.pools) {
    print_row(pool.device + " pool",
              fmt::format("{} in use, {} cached, {} peak; {} hits, {} misses, {} evictions",
                          human_bytes(pool.in_use_bytes), human_bytes(pool.cached_bytes),
                          human_bytes(pool.peak_bytes), pool.hits, pool.misses, pool.evictions));
    if (pool.weight_bytes > 0) {
      print_row("weights", fmt::format("{} brought over in {:.2f} s, {:.1f} GB/s, read by {} threads",
                                       human_bytes(pool.weight_bytes), pool.weight_seconds,
                                       static_cast<double>(pool.weight_bytes) / pool.weight_seconds * 1e-9,
                                       pool.weight_threads));
    }
  }
  print_row("KV cache",
            fmt::format("{} of {} pages used, {} peak, {} tokens a page", statistics.kv_pages_used,
                        statistics.kv_pages, statistics.kv_pages_peak, statistics.kv_page_tokens));
  print_row("run", fmt::format("{} steps, {} launches, {:.1f} a step", statistics.steps, statistics.launches,
                               per_step(statistics)));
  print_row("transfers", fmt::format("{} between devices, {} moved", statistics.transfers,
                                     human_bytes(statistics.bytes_moved)));
  print_row("prefill step",
            fusion_text(statistics.prefill_step_launches, statistics.prefill_step_launches_unfused));
  print_row("decode step",
            fusion_text(statistics.decode_step_launches, statistics.decode_step_launches_unfused));
  print_row("plan cache", fmt::format("{} hits, {} misses, {} entries", statistics.plan_cache_hits,
                                      statistics.plan_cache_misses, statistics.plan_cache_entries));
}

void print_statistics_json(const Statistics& statistics) {
  nlohmann::ordered_json pools = nlohmann::ordered_json::array();
  for (const PoolStatistics& pool : statistics.pools) pools.push_back(to_json(pool));
  const nlohmann::ordered_json json = {
      {"pools", pools},
      {"kv_cache",
       {{"pages", statistics.kv_pages},
        {"used", statistics.kv_pages_used},
        {"peak", statistics.kv_pages_peak},
        {"page_tokens", statistics.kv_page_tokens}}},
      {"steps", statistics.steps},
      {"launches", statistics.launches},
      {"launches_per_step", per_step(statistics)},
      {"transfers", statistics.transfers},
      {"bytes_moved", statistics.bytes_moved},
      {"prefill_step",
       {{"launches", statistics.prefill_step_launches},
        {"unfused", statistics.prefill_step_launches_unfused}}},
      {"decode_step",
       {{"launches", statistics.decode_step_launches}, {"unfused", statistics.decode_step_launches_unfused}}},
      {"plan_cache",
       {{"hits", statistics.plan_cache_hits},
        {"misses", statistics.plan_cache_misses},
        {"entries", statistics.plan_cache_entries}}}};
  fmt::print(stderr, "{}\n", json.dump());
}

}  // namespace ingot::cli
