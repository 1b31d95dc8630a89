// ingot calibrate: how fast this machine's kernels are, measured once and kept.
#include "ingot/calibrate.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

nlohmann::ordered_json to_json(const std::vector<MeasuredRate>& rates, const char* size, const char* unit) {
  auto list = nlohmann::ordered_json::array();
  for (const MeasuredRate& rate : rates) list.push_back({{size, rate.size}, {unit, rate.rate}});
  return list;
}

nlohmann::ordered_json to_json(const CalibrationReport& report) {
  auto types = nlohmann::ordered_json::object();
  for (const auto& [dtype, gflops] : report.gflops) types[std::string(to_string(dtype))] = gflops;
  auto kernels = nlohmann::ordered_json::array();
  for (const KernelRates& kernel : report.kernels) {
    kernels.push_back({{"op", kernel.op},
                       {"kernel", kernel.kernel},
                       {"weight", to_string(kernel.weight)},
                       {"layout", kernel.layout},
                       {"launch_us", kernel.launch_us},
                       {"gbps", to_json(kernel.gbps, "working_set_bytes", "gbps")},
                       {"gflops", to_json(kernel.gflops, "rows", "gflops")}});
  }
  return {{"version", version()},
          {"device", report.device},
          {"description", report.description},
          {"threads", report.threads},
          {"instruction_set", report.instruction_set},
          {"build", report.build},
          {"hash", report.hash},
          {"file", report.path},
          {"seconds", report.seconds},
          {"measured_now", report.is_new},
          {"launch_us", report.launch_us},
          {"gbps", to_json(report.gbps, "working_set_bytes", "gbps")},
          {"gflops", types},
          {"shares_host_memory", report.shares_host_memory},
          {"transfer_us", report.transfer_us},
          {"transfer_gbps", report.transfer_gbps},
          {"kernels", kernels}};
}

std::string type_and_layout(const KernelRates& kernel) {
  return fmt::format("{}{}{}", to_string(kernel.weight), kernel.layout.empty() ? "" : ", ", kernel.layout);
}

/// The least and the most of a curve; the table below has its points.
std::string range(const std::vector<MeasuredRate>& rates) {
  if (rates.empty()) return "-";
  double least = rates.front().rate;
  double most = least;
  for (const MeasuredRate& rate : rates) {
    least = std::min(least, rate.rate);
    most = std::max(most, rate.rate);
  }
  return rates.size() == 1 ? fmt::format("{:.3g}", least) : fmt::format("{:.3g} - {:.3g}", least, most);
}

void print(const CalibrationReport& report) {
  fmt::print("{}: {}\n", report.device, report.description);
  fmt::print("{} in {:.1f} s, hash {}\n", report.is_new ? "measured" : "loaded; it was measured",
             report.seconds, report.hash);
  fmt::print("file: {}\n", report.path.empty() ? "none; it holds for this run only" : report.path);
  if (!report.shares_host_memory)
    fmt::print("transfers: {:.1f} us, {:.1f} GB/s\n", report.transfer_us, report.transfer_gbps);
  fmt::print("\n{:<12} {:<18} {:<18} {:>12} {:>16} {:>16}\n", "op", "kernel", "type", "overhead us", "GB/s",
             "GFLOP/s");
  for (const KernelRates& kernel : report.kernels) {
    fmt::print("{:<12} {:<18} {:<18} {:>12.2f} {:>16} {:>16}\n", kernel.op, kernel.kernel,
               type_and_layout(kernel), kernel.launch_us, range(kernel.gbps), range(kernel.gflops));
  }
  fmt::print("{:<12} {:<18} {:<18} {:>12.2f} {:>16}\n", "others", "", "", report.launch_us,
             range(report.gbps));
  fmt::print("\nGB/s by working set:\n");
  for (const KernelRates& kernel : report.kernels) {
    if (kernel.gbps.size() < 3) continue;
    fmt::print("  {:<18} {:<18}", kernel.kernel, type_and_layout(kernel));
    for (const MeasuredRate& rate : kernel.gbps)
      fmt::print(" {:>5.3g} at {:.0f} MiB", rate.rate, rate.size / 0x1p20);
    fmt::print("\n");
  }
}

}  // namespace

void add_calibrate(CLI::App& app) {
  struct Options {
    CalibrateOptions calibrate;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("calibrate", "Measure this machine's kernels, once, and keep the result");
  std::string names;
  for (const std::string& name : devices()) names += (names.empty() ? "" : ", ") + name;
  verb->add_option("--device", options->calibrate.device, fmt::format("device to measure: {}", names))
      ->type_name("NAME");
  add_number(*verb, "--threads", options->calibrate.threads, "CPU threads (default: one a performance core)",
             "N");
  verb->add_flag("--force", options->calibrate.force, "measure even if there is a result");
  verb->add_flag("--json", options->json, "one JSON object");
  verb->footer(
      "The result lies in $XDG_CACHE_HOME/ingot, or ~/.cache/ingot. The router and explain predict\n"
      "from it, and make it when it is missing.\nExample: ingot calibrate --force");
  verb->callback([options] {
    options->calibrate.notice = [](std::string_view line) { fmt::print(stderr, "ingot: {}\n", line); };
    const CalibrationReport report = calibrate(options->calibrate);
    if (options->json) {
      fmt::print("{}\n", to_json(report).dump(2));
    } else {
      print(report);
    }
  });
}

}  // namespace ingot::cli
