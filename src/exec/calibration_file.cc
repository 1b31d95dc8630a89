#include "exec/calibration_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/check.h"

namespace ingot::exec {
namespace {

using nlohmann::json;

// Far beyond any machine; what exceeds them is damage.
constexpr size_t kMostBytes = size_t{4} << 20;
constexpr size_t kMostEntries = 256;
constexpr size_t kMostKernels = 4096;
constexpr size_t kMostPoints = 64;
constexpr size_t kMostText = 512;
constexpr double kMostMicroseconds = 1e9;
constexpr double kMostSize = 1e18;
constexpr int64_t kMostThreads = 1 << 20;

constexpr auto kTypes = [] {
  std::array<DType, kDTypeCount> types{};
  for (size_t i = 0; i < types.size(); ++i) types[i] = static_cast<DType>(i);
  return types;
}();

/// An object of the file and where it stands, for messages.
class Reader {
 public:
  Reader(const json& value, std::string where) : value_(value), where_(std::move(where)) {
    if (!value.is_object()) fail(ErrorCode::invalid_file, "{}: expected an object", where_);
  }

  const json& at(const char* key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) fail(ErrorCode::invalid_file, "{}: expected '{}', found none", where_, key);
    return *found;
  }
  Reader object(const char* key) const { return {at(key), path(key)}; }
  const json& list(const char* key, size_t most) const {
    const json& value = at(key);
    if (!value.is_array() || value.size() > most)
      fail(ErrorCode::invalid_file, "{}: expected a list of at most {} entries", path(key), most);
    return value;
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > kMostText)
      fail(ErrorCode::invalid_file, "{}: expected text of at most {} bytes", path(key), kMostText);
    return value.get<std::string>();
  }
  double number(const char* key, double least, double most) const {
    const json& value = at(key);
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= least && number <= most))
      fail(ErrorCode::invalid_file, "{}: expected a number from {} to {}", path(key), least, most);
    return number;
  }
  int integer(const char* key, int64_t least, int64_t most) const {
    const json& value = at(key);
    const bool is_valid = value.is_number_integer() && value >= least && value <= most;
    if (!is_valid)
      fail(ErrorCode::invalid_file, "{}: expected a whole number from {} to {}", path(key), least, most);
    return value.get<int>();
  }
  bool boolean(const char* key) const {
    if (!at(key).is_boolean()) fail(ErrorCode::invalid_file, "{}: expected true or false", path(key));
    return at(key).get<bool>();
  }
  DType dtype(const char* key) const {
    const std::string name = text(key);
    for (DType dtype : kTypes) {
      if (to_string(dtype) == name) return dtype;
    }
    fail(ErrorCode::invalid_file, "{}: expected an element type", path(key));
  }
  RateCurve curve(const char* key) const {
    RateCurve curve;
    double before = 0;
    for (const json& entry : list(key, kMostPoints)) {
      const Reader point(entry, path(key));
      curve.points.push_back(
          {.size = point.number("size", 0, kMostSize), .rate = point.number("rate", kLeastRate, kMostRate)});
      if (!(curve.points.back().size > before))
        fail(ErrorCode::invalid_file, "{}: expected ascending sizes above 0", path(key));
      before = curve.points.back().size;
    }
    return curve;
  }

 private:
  std::string path(const char* key) const { return where_ + "." + key; }

  const json& value_;
  std::string where_;
};

json curve_json(const RateCurve& curve) {
  json list = json::array();
  for (const RateCurve::Point& point : curve.points)
    list.push_back({{"size", point.size}, {"rate", point.rate}});
  return list;
}

json identity_json(const CalibrationIdentity& identity) {
  return {{"device", identity.device},
          {"description", identity.description},
          {"threads", identity.threads},
          {"instruction_set", identity.instruction_set},
          {"build", identity.build}};
}

CalibrationIdentity read_identity(const Reader& reader) {
  return {.device = reader.text("device"),
          .description = reader.text("description"),
          .threads = reader.integer("threads", 1, kMostThreads),
          .instruction_set = reader.text("instruction_set"),
          .build = reader.text("build")};
}

json costs_json(const DeviceCosts& costs) {
  json types = json::array();
  for (const TypeRate& rate : costs.gflops)
    types.push_back({{"type", to_string(rate.dtype)}, {"gflops", rate.gflops}});
  json kernels = json::array();
  for (const KernelCosts& kernel : costs.kernels) {
    kernels.push_back({{"op", kernel.op},
                       {"kernel", kernel.kernel},
                       {"weight", to_string(kernel.weight)},
                       {"layout", kernel.layout},
                       {"launch_us", kernel.launch_us},
                       {"gbps", curve_json(kernel.gbps)},
                       {"gflops", curve_json(kernel.gflops)}});
  }
  return {{"launch_us", costs.launch_us},
          {"gbps", curve_json(costs.gbps)},
          {"gflops", types},
          {"shares_host_memory", costs.shares_host_memory},
          {"transfer_us", costs.transfer_us},
          {"transfer_gbps", costs.transfer_gbps},
          {"kernels", kernels}};
}

DeviceCosts read_costs(const Reader& reader, const CalibrationIdentity& identity) {
  DeviceCosts costs;
  costs.device = identity.device;
  costs.description = identity.description;
  costs.launch_us = reader.number("launch_us", 0, kMostMicroseconds);
  costs.gbps = reader.curve("gbps");
  for (const json& entry : reader.list("gflops", std::size(kTypes))) {
    const Reader rate(entry, "gflops");
    costs.gflops.push_back(
        {.dtype = rate.dtype("type"), .gflops = rate.number("gflops", kLeastRate, kMostRate)});
  }
  if (costs.gbps.empty() || costs.gflops.empty())
    fail(ErrorCode::invalid_file, "costs: expected a bandwidth and an arithmetic rate of the device");
  costs.shares_host_memory = reader.boolean("shares_host_memory");
  costs.transfer_us = reader.number("transfer_us", 0, kMostMicroseconds);
  costs.transfer_gbps = reader.number("transfer_gbps", costs.shares_host_memory ? 0 : kLeastRate, kMostRate);
  for (const json& entry : reader.list("kernels", kMostKernels)) {
    const Reader kernel(entry, "kernels");
    costs.kernels.push_back({.op = kernel.text("op"),
                             .kernel = kernel.text("kernel"),
                             .weight = kernel.dtype("weight"),
                             .layout = kernel.text("layout"),
                             .launch_us = kernel.number("launch_us", 0, kMostMicroseconds),
                             .gbps = kernel.curve("gbps"),
                             .gflops = kernel.curve("gflops")});
  }
  return costs;
}

/// FNV-1a, as 16 hexadecimal digits.
std::string fnv1a(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325U;
  for (char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return fmt::format("{:016x}", value);
}

Calibration read_entry(const json& value, CheckHashes hashes) {
  const Reader reader(value, "calibration");
  Calibration calibration;
  calibration.identity = read_identity(reader.object("identity"));
  calibration.costs = read_costs(reader.object("costs"), calibration.identity);
  calibration.seconds = reader.number("seconds", 0, kMostMicroseconds);
  const std::string hash = reader.text("hash");
  if (hashes == CheckHashes::yes && hash != calibration.hash())
    fail(ErrorCode::invalid_file, "calibration: its hash is not that of its content");
  return calibration;
}

[[noreturn]] void fail_io(std::string_view what) {
  fail(ErrorCode::io, "{}: {}", what, std::strerror(errno));
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io("cannot write");
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

std::string default_calibration_path() {
  const std::string file = fmt::format("ingot/calibration-v{}.json", kCalibrationVersion);
  // The XDG base directory specification: a relative path is to be ignored.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fmt::format("{}/{}", cache, file);
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return fmt::format("{}/.cache/{}", home, file);
  return {};
}

std::string canonical_json(const Calibration& calibration) {
  const json value = {{"identity", identity_json(calibration.identity)},
                      {"costs", costs_json(calibration.costs)}};
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Calibration::hash() const {
  return fnv1a(canonical_json(*this));
}

std::vector<Calibration> parse_calibrations(std::string_view text, CheckHashes hashes) {
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded()) fail(ErrorCode::invalid_file, "it is no JSON, or not all of it");
  const Reader reader(file, "the file");
  const json& version = reader.at("version");
  if (version != kCalibrationVersion)
    fail(ErrorCode::invalid_file, "expected version {}, found another", kCalibrationVersion);
  std::vector<Calibration> calibrations;
  for (const json& entry : reader.list("calibrations", kMostEntries))
    calibrations.push_back(read_entry(entry, hashes));
  return calibrations;
}

std::string calibrations_text(std::span<const Calibration> calibrations) {
  json list = json::array();
  for (const Calibration& calibration : calibrations) {
    list.push_back({{"hash", calibration.hash()},
                    {"identity", identity_json(calibration.identity)},
                    {"seconds", calibration.seconds},
                    {"costs", costs_json(calibration.costs)}});
  }
  const json file = {{"version", kCalibrationVersion}, {"calibrations", list}};
  return file.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::optional<std::vector<Calibration>> read_calibrations(const std::string& path) {
  // Not blocking: something else than a file may lie there.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail_io("cannot read");
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_io("cannot read");
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::io, "it is no regular file");
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io("cannot read");
    if (count == 0) break;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kMostBytes) fail(ErrorCode::invalid_file, "it is larger than {} bytes", kMostBytes);
  }
  return parse_calibrations(text);
}

void write_calibrations(const std::string& path, std::span<const Calibration> calibrations) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorCode::io, "cannot make its folder: {}", error.message());
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  try {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (file.get() < 0) fail_io("cannot write");
    write_all(file.get(), calibrations_text(calibrations));
    if (::fsync(file.get()) != 0) fail_io("cannot write");
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_io("cannot write");
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace ingot::exec
