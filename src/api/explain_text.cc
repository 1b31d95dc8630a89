// Explanations as text: aligned tables, equal layers folded.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "ingot/explain.h"

namespace ingot {
namespace {

/// Names come from the checkpoint: what a terminal would obey is spelled out. Line ends stay where `lines`.
std::string printable(std::string_view text, bool lines = false) {
  std::string clean;
  for (char c : text) {
    const bool is_control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (is_control && !(lines && c == '\n')) {
      clean += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      clean += c;
    }
  }
  return clean;
}

std::string of_three_digits(double value) {
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/// "1.23 M": at most three digits and a power of 1000.
std::string scaled(double value) {
  constexpr const char* kPowers[] = {"", " k", " M", " G", " T", " P"};
  size_t power = 0;
  while (value >= 999.5 && power + 1 < std::size(kPowers)) {
    value /= 1000;
    ++power;
  }
  if (power == 0) return fmt::format("{:.0f}", value);
  return of_three_digits(value) + kPowers[power];
}

std::string kib(int64_t bytes) {
  return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
}

std::string microseconds(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", *value) : "-";
}

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.0f} %", 100 * *value) : "-";
}

/// Rows of cells, printed with columns as wide as their widest cell.
class Table {
 public:
  /// `alignment`: a letter a column, l or r.
  explicit Table(std::string_view alignment) : alignment_(alignment), widths_(alignment.size(), 0) {}
  void add(std::vector<std::string> cells) {
    for (size_t i = 0; i < cells.size(); ++i) widths_[i] = std::max(widths_[i], cells[i].size());
    rows_.push_back(std::move(cells));
  }
  /// A line of its own between the rows.
  void add_line(std::string line) { rows_.push_back({std::move(line)}); }
  std::string text() const {
    std::string text;
    for (const auto& row : rows_) {
      std::string line;
      if (row.size() == 1) {
        line = row[0];
      } else {
        for (size_t i = 0; i < row.size(); ++i) {
          line += i == 0 ? "" : "  ";
          line += alignment_[i] == 'l' ? fmt::format("{:<{}}", row[i], widths_[i])
                                       : fmt::format("{:>{}}", row[i], widths_[i]);
        }
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  std::string_view alignment_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

/// A row and those it stands for, summed.
struct Folded {
  ExplainRow row;
  std::vector<int64_t> layers;
};

std::vector<Folded> fold(const ExplainStep& step, bool all_layers) {
  std::vector<Folded> folded;
  std::map<int64_t, size_t> by_representative;
  const auto add = [](std::optional<double>& sum, const std::optional<double>& part) {
    if (part) sum = sum.value_or(0) + *part;
  };
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const ExplainRow& row = step.rows[i];
    const int64_t key = all_layers ? static_cast<int64_t>(i) : row.representative;
    const auto [entry, is_new] = by_representative.try_emplace(key, folded.size());
    if (is_new) {
      folded.push_back({.row = row, .layers = {row.layer}});
      continue;
    }
    Folded& first = folded[entry->second];
    // Shares of equal work: that of the mean time.
    const double count = static_cast<double>(first.layers.size());
    if (first.row.share && row.share)
      first.row.share = (count + 1) / (count / *first.row.share + 1 / *row.share);
    add(first.row.predicted_us, row.predicted_us);
    add(first.row.measured_us, row.measured_us);
    first.row.flops += row.flops;
    first.row.bytes += row.bytes;
    first.layers.push_back(row.layer);
  }
  return folded;
}

/// "layers 0-3, 5", the ranges of an ascending list.
std::string ranges_of(const std::vector<int64_t>& layers) {
  std::string text;
  for (size_t i = 0; i < layers.size();) {
    size_t end = i + 1;
    while (end < layers.size() && layers[end] == layers[end - 1] + 1) ++end;
    text += text.empty() ? "" : ", ";
    text += end - i == 1 ? fmt::format("{}", layers[i]) : fmt::format("{}-{}", layers[i], layers[end - 1]);
    i = end;
  }
  return text;
}

std::string layer_line(const Folded& folded, std::string_view what = ", sums") {
  if (folded.layers.front() < 0) return "  outside the layers";
  if (folded.layers.size() == 1) return fmt::format("  layer {}", folded.layers.front());
  return fmt::format("  layers {} (× {}{})", ranges_of(folded.layers), folded.layers.size(), what);
}

std::string headline(const ExplainStep& step) {
  if (step.step == "decode") {
    return fmt::format("decode: {} sequence{}, one token each, at a context of {}", step.sequences,
                       step.sequences == 1 ? "" : "s", step.context);
  }
  const int64_t from = step.context - step.tokens;
  return fmt::format("prefill: {} tokens of a prompt{}", step.tokens,
                     from == 0 ? "" : fmt::format(" of {}, the last chunk", step.context));
}

std::string rows_table(const ExplainStep& step, bool all_layers) {
  Table table("rllllrrrrrl");
  table.add({"#", "op", "output", "device", "kernel", "bytes", "flops", "predicted us", "measured us",
             "share", "why"});
  std::vector<int64_t> layers{-1};
  for (const Folded& folded : fold(step, all_layers)) {
    const ExplainRow& row = folded.row;
    if (folded.layers != layers) table.add_line(layer_line(folded));
    layers = folded.layers;
    const std::string share =
        row.share ? percent(row.share) + (row.limit == ExplainLimit::memory ? " mem" : " alu") : "-";
    table.add({fmt::format("{}", row.representative), row.op, row.shape, row.device, row.kernel,
               scaled(row.bytes), scaled(row.flops), microseconds(row.predicted_us),
               microseconds(row.measured_us), share, printable(row.reason)});
  }
  return table.text();
}

std::string totals_table(const ExplainStep& step) {
  Table table("lrrrrrr");
  table.add({"op", "launches", "bytes", "flops", "predicted us", "measured us", "of the time"});
  for (const ExplainTotal& total : step.totals) {
    const std::optional<double> part = total.measured_us && step.measured_us
                                           ? *total.measured_us / *step.measured_us
                                           : std::optional<double>();
    table.add({total.op, fmt::format("{}", total.launches), scaled(total.bytes), scaled(total.flops),
               microseconds(total.predicted_us), microseconds(total.measured_us), percent(part)});
  }
  return table.text();
}

std::string passes_line(const ExplainStep& step) {
  std::string text;
  for (const ExplainPass& pass : step.passes) {
    if (!pass.ran) {
      text += fmt::format("{}{} off", text.empty() ? "" : ", ", pass.name);
    } else if (pass.rewrites > 0) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", pass.name, pass.rewrites);
    }
  }
  return text;
}

std::string figures(const ExplainStep& step) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<12}{}\n", name, value);
  };
  line("launches", fmt::format("{}, unfused {}; the graph has {} ops, as built {}", step.launches,
                               step.launches_before, step.ops_after, step.ops_before));
  if (const std::string passes = passes_line(step); !passes.empty()) line("fusion", passes);
  if (step.measured_us && step.step_us) {
    line("time", fmt::format("{} us measured for the real step; its launches, each alone, sum to {} us",
                             microseconds(step.step_us), microseconds(step.measured_us)));
  } else if (step.step_us) {
    line("time", fmt::format("{} us measured for the real step", microseconds(step.step_us)));
  }
  if (step.prediction_error) {
    line("prediction",
         fmt::format("{} us; median error {:.0f} % over the {} launches that take 90 % of the time",
                     microseconds(step.predicted_us), 100 * *step.prediction_error,
                     step.prediction_error_rows));
  } else if (step.predicted_us) {
    line("prediction", fmt::format("{} us", microseconds(step.predicted_us)));
  }
  for (const ExplainMemory& memory : step.memory) {
    line("memory", fmt::format("{}: {} arena for intermediate values, {} alive at once, {} workspace",
                               memory.device, kib(memory.arena), kib(memory.live), kib(memory.workspace)));
  }
  if (!step.calibration.empty()) line("calibration", step.calibration);
  for (const std::string& note : step.notes) line("note", printable(note));
  if (step.step_us && step.measured_us && *step.step_us > 1.25 * *step.measured_us) {
    line("note", "the step took longer than its launches: other programs may have had its CPUs meanwhile");
  }
  const bool beyond = std::ranges::any_of(step.rows, [](const ExplainRow& row) {
    return row.limit == ExplainLimit::memory && row.share.value_or(0) > 1;
  });
  if (beyond) line("note", "over 100 % mem: a cache holds what these launches read; the limit is memory's");
  return text;
}

std::string header(const Explanation& explanation) {
  std::string text = fmt::format("{}: {}, {} layers, {} parameters\n", printable(explanation.model),
                                 explanation.architecture, explanation.layers,
                                 scaled(static_cast<double>(explanation.parameters)));
  for (const ExplainDevice& device : explanation.devices) {
    text += fmt::format("{}: {}", device.name, device.description);
    if (device.read_gbps > 0)
      text += fmt::format("; measured now: {:.1f} GB/s, {:.1f} GFLOP/s, int8 {:.1f} GOP/s", device.read_gbps,
                          device.f32_gflops, device.int8_gops);
    if (device.matrix16_gflops > 0)
      text += fmt::format(", 16-bit matrices {:.1f} TFLOP/s", device.matrix16_gflops / 1000);
    text += "\n";
  }
  return text;
}

}  // namespace

std::string to_text(const Explanation& explanation, const ExplainTextOptions& options) {
  std::string text = header(explanation);
  for (const ExplainStep& step : explanation.steps) {
    text += "\n" + headline(step) + "\n";
    if (options.graphs) {
      text +=
          fmt::format("\nas built, {} ops:\n{}\nas it runs, {} ops:\n{}", step.ops_before,
                      printable(step.graph_before, true), step.ops_after, printable(step.graph_after, true));
      continue;
    }
    text += "\n" + rows_table(step, options.all_layers) + "\n" + totals_table(step) + "\n" + figures(step);
  }
  return text;
}

std::string to_plan_text(const ExplainStep& step) {
  std::string text =
      fmt::format("{}: {} launches, unfused {}\n", step.step, step.launches, step.launches_before);
  if (const std::string passes = passes_line(step); !passes.empty()) text += "fusion: " + passes + "\n";
  for (const std::string& note : step.notes) text += "note: " + printable(note) + "\n";
  Table table("rllllll");
  table.add({"#", "op", "of", "output", "kernel", "why", "attributes"});
  std::vector<int64_t> layers{-1};
  for (const Folded& folded : fold(step, false)) {
    if (folded.layers != layers) table.add_line(layer_line(folded, ""));
    layers = folded.layers;
    const ExplainRow& row = folded.row;
    table.add({fmt::format("{}", row.representative), row.op, fmt::format("{}", fmt::join(row.inputs, " ")),
               row.type, row.kernel, printable(row.reason), printable(row.attributes)});
  }
  for (const ExplainOutput& output : step.outputs)
    table.add_line(fmt::format("output {}: {}", output.name, output.row));
  return text + table.text();
}

}  // namespace ingot
