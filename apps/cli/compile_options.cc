// Options that say how a model is compiled. Here they are read; whether what they name exists, the API says.
#include <fmt/format.h>

#include <limits>

#include "verbs.h"

namespace ingot::cli {
namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& expected, const std::string& found) {
  throw CLI::ValidationError(fmt::format("{}: expected {}, found '{}'", option, expected, found));
}

/// "name=value", neither of them empty.
std::pair<std::string, std::string> read_pair(const std::string& option, const std::string& expected,
                                              const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) refuse(option, expected, text);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// A whole number, 0 or more, that is all of `text`.
std::optional<int64_t> read_count(std::string_view text) {
  int64_t count = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, count);
  if (read.ec != std::errc() || read.ptr != end || count < 0) return std::nullopt;
  return count;
}

/// Bytes of "8GiB", "1.5MiB", "4096".
std::optional<int64_t> read_bytes(std::string_view text) {
  struct Unit {
    std::string_view name;
    int shift;
  };
  // Longest names first: "KiB" ends in "B".
  constexpr Unit kUnits[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}, {"", 0}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const std::string_view digits = text.substr(0, text.size() - unit.name.size());
    const char* end = digits.data() + digits.size();
    double value = 0;
    const auto read = std::from_chars(digits.data(), end, value, std::chars_format::fixed);
    value *= static_cast<double>(int64_t{1} << unit.shift);
    constexpr double kMost = 9e18;  // below the largest int64_t
    if (read.ec != std::errc() || read.ptr != end || !(value >= 1 && value <= kMost)) return std::nullopt;
    return static_cast<int64_t>(value);
  }
  return std::nullopt;
}

constexpr auto kDeviceList = "NAME[,NAME]";
constexpr auto kPassList = "PASS[,PASS]";
constexpr auto kRouteList = "OP=N[,OP=N] with whole numbers from 0";
constexpr auto kLayerList = "FIRST-LAST=NAME[,...] with layers from 0";
constexpr auto kMemoryList = "NAME=SIZE[,...] with sizes as 8GiB, 512MiB";

void read_route(const std::string& text, CompileOptions& options) {
  for (const std::string& part : read_list("--route", kRouteList, text)) {
    const auto [op, number] = read_pair("--route", kRouteList, part);
    const auto elements = read_count(number);
    if (!elements) refuse("--route", kRouteList, part);
    if (!options.route.emplace(op, *elements).second) refuse("--route", "each op once", part);
  }
}

void read_layers(const std::string& text, CompileOptions& options) {
  for (const std::string& part : read_list("--layers", kLayerList, text)) {
    const auto [range, device] = read_pair("--layers", kLayerList, part);
    const size_t dash = range.find('-');
    const auto first = read_count(std::string_view(range).substr(0, dash));
    const auto last =
        dash == std::string::npos ? first : read_count(std::string_view(range).substr(dash + 1));
    if (!first || !last) refuse("--layers", kLayerList, part);
    options.layers.push_back({.first = *first, .last = *last, .device = device});
  }
}

void read_memory(const std::string& text, CompileOptions& options) {
  for (const std::string& part : read_list("--memory", kMemoryList, text)) {
    const auto [device, size] = read_pair("--memory", kMemoryList, part);
    const auto bytes = read_bytes(size);
    if (!bytes) refuse("--memory", kMemoryList, part);
    if (!options.memory.emplace(device, *bytes).second) refuse("--memory", "each device once", part);
  }
}

/// An option with lists; several of it are one longer list.
template <class Read>
CLI::Option* add_list(CLI::App& verb, const std::string& name, const std::string& type,
                      const std::string& help, const Read& read) {
  const auto read_all = [read](const CLI::results_t& values) {
    for (const std::string& value : values) read(value);
    return true;
  };
  return verb.add_option(name, read_all, help)
      ->type_name(type)
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false);
}

}  // namespace

std::vector<std::string> read_list(const std::string& option, const std::string& expected,
                                   const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    if (comma == begin) refuse(option, expected, text);
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

void add_compile_options(CLI::App& verb, CompileOptions& options, bool* tell_memory) {
  std::string names;
  for (const std::string& name : devices()) names += (names.empty() ? "" : ", ") + name;
  verb.add_option(
          "--device",
          [&options](const CLI::results_t& values) {
            options.devices = read_list("--device", kDeviceList, values.front());
            return true;
          },
          fmt::format("devices by preference; this build has: {}", names))
      ->type_name("NAME[,NAME]")
      ->expected(1);
  add_number(verb, "--threads", options.threads, "CPU threads (default: one a performance core)", "N");
  verb.add_flag("--pin", options.pin, "keep each CPU thread on a core of its own");
  add_list(verb, "--no-fuse", "PASS[,PASS]", "leave out fusion passes; all: every one",
           [&options](const std::string& text) {
             for (std::string& name : read_list("--no-fuse", kPassList, text))
               options.no_fuse.push_back(std::move(name));
           });
  add_list(verb, "--route", "OP=N[,OP=N]", "first device from N output elements on, else the last",
           [&options](const std::string& text) { read_route(text, options); });
  add_list(verb, "--layers", "A-B=NAME[,...]", "device of the layers A to B, from 0",
           [&options](const std::string& text) { read_layers(text, options); });
  if (tell_memory == nullptr) {
    add_list(verb, "--memory", "NAME=SIZE[,...]", "most memory to take on a device: cpu=8GiB",
             [&options](const std::string& text) { read_memory(text, options); });
  } else {
    add_list(verb, "--memory", "[NAME=SIZE]", "tell what memory it takes, before loading; SIZE: at most",
             [&options, tell_memory](const std::string& text) {
               *tell_memory = true;
               if (!text.empty()) read_memory(text, options);
             })
        ->expected(0, 1000)
        ->allow_extra_args();
  }
  verb.add_flag("--strict", options.strict, "pass over no device: missing or full is an error");
}

}  // namespace ingot::cli
