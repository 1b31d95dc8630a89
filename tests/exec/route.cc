// The router against every assignment there is, counted here on its own.
#include "exec/route.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace ingot::exec {
namespace {

/// Microseconds of an assignment, from the definition: launches, and each value once to each other memory
/// that reads it.
double count_us(const RouteProblem& p, const std::vector<int>& device) {
  double us = 0;
  std::vector<int> group(static_cast<size_t>(p.groups), -1);
  for (size_t i = 0; i < p.launches.size(); ++i) {
    us += p.launches[i].us[static_cast<size_t>(device[i])];
    if (p.launches[i].group < 0) continue;
    int& on = group[static_cast<size_t>(p.launches[i].group)];
    if (on >= 0 && on != device[i]) return kImpossible;
    on = device[i];
  }
  for (size_t v = 0; v < p.values.size(); ++v) {
    const RouteProblem::Value& value = p.values[v];
    const int home =
        value.maker < 0 ? p.host : p.memory_of[static_cast<size_t>(device[static_cast<size_t>(value.maker)])];
    for (int memory = 0; memory < p.memories; ++memory) {
      bool reads = value.is_output && memory == p.host;
      for (size_t i = 0; i < p.launches.size(); ++i) {
        for (int read : p.launches[i].reads)
          reads =
              reads || (read == static_cast<int>(v) && p.memory_of[static_cast<size_t>(device[i])] == memory);
      }
      if (reads && memory != home) us += value.move_us[static_cast<size_t>(home * p.memories + memory)];
    }
  }
  return us;
}

double best_of_all(const RouteProblem& p) {
  const auto devices = static_cast<int>(p.memory_of.size());
  std::vector<int> device(p.launches.size(), 0);
  double best = kImpossible;
  while (true) {
    best = std::min(best, count_us(p, device));
    size_t i = 0;
    while (i < device.size() && ++device[i] == devices) device[i++] = 0;
    if (i == device.size()) return best;
  }
}

/// Costs are whole numbers, so that sums are exact in any order.
class Invented {
 public:
  explicit Invented(uint32_t seed) : random_(seed) {}
  int number(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }

  RouteProblem machine(int devices) {
    RouteProblem p;
    const bool has_host = number(4) != 0;  // else host memory is a place of its own
    p.host = has_host ? number(devices) : devices;
    p.memories = has_host ? devices : devices + 1;
    for (int d = 0; d < devices; ++d) p.memory_of.push_back(has_host && number(5) == 0 ? p.host : d);
    return p;
  }
  void add_value(RouteProblem& p, int maker, bool is_output) {
    RouteProblem::Value value{.maker = maker, .is_output = is_output, .move_us = {}};
    const int bytes = number(30);
    for (int i = 0; i < p.memories * p.memories; ++i)
      value.move_us.push_back(i / p.memories == i % p.memories ? 0 : number(10) + bytes);
    p.values.push_back(std::move(value));
  }
  void add_launch(RouteProblem& p, std::vector<int> reads, int group, int missing_one_in) {
    RouteProblem::Launch launch{.us = {}, .reads = std::move(reads), .group = group};
    for (size_t d = 0; d < p.memory_of.size(); ++d) launch.us.push_back(number(40));
    if (number(missing_one_in) == 0)
      launch.us[static_cast<size_t>(number(static_cast<int>(launch.us.size())))] = kImpossible;
    p.launches.push_back(std::move(launch));
  }
  RouteProblem chain(int devices, int launches) {
    RouteProblem p = machine(devices);
    add_value(p, RouteProblem::kNone, false);
    for (int i = 0; i < launches; ++i) {
      add_launch(p, {i}, RouteProblem::kNone, 6);
      add_value(p, i, i + 1 == launches);
    }
    return p;
  }
  RouteProblem graph(int devices, int launches) {
    RouteProblem p = machine(devices);
    p.groups = number(3);
    for (int i = 0, inputs = 1 + number(3); i < inputs; ++i)
      add_value(p, RouteProblem::kNone, number(5) == 0);
    for (int i = 0; i < launches; ++i) {
      std::vector<int> reads;
      const int most = 1 + number(3);
      for (int k = 0; k < most; ++k) {
        const int value = number(static_cast<int>(p.values.size()));
        if (std::find(reads.begin(), reads.end(), value) == reads.end()) reads.push_back(value);
      }
      add_launch(p, std::move(reads), p.groups > 0 && number(3) == 0 ? number(p.groups) : RouteProblem::kNone,
                 8);
      for (int k = 0, results = 1 + (number(5) == 0 ? 1 : 0); k < results; ++k)
        add_value(p, i, i + 1 == launches || number(6) == 0);
    }
    return p;
  }

 private:
  std::mt19937 random_;
};

TEST(Route, ChainsTakeTheBestOfAllWaysExactly) {
  Invented invented(3);
  for (int round = 0; round < 4000; ++round) {
    const int devices = 2 + round % 2;
    const RouteProblem p = invented.chain(devices, 1 + invented.number(devices == 2 ? 8 : 6));
    const Route route = find_route(p);
    ASSERT_TRUE(route.is_exact);
    ASSERT_EQ(route.us, best_of_all(p)) << round;
    ASSERT_EQ(count_us(p, route.device), route.us) << round;
  }
}

TEST(Route, SmallGraphsTakeTheBestOfAllWaysExactly) {
  Invented invented(5);
  int impossible = 0;
  for (int round = 0; round < 3000; ++round) {
    const int devices = 2 + round % 2;
    const RouteProblem p = invented.graph(devices, 1 + invented.number(devices == 2 ? 9 : 6));
    const Route route = find_route(p);
    const double best = best_of_all(p);
    ASSERT_EQ(route.us, best) << round;
    if (best == kImpossible) {
      ++impossible;
      ASSERT_TRUE(route.device.empty());
      continue;
    }
    ASSERT_TRUE(route.is_exact);
    ASSERT_EQ(count_us(p, route.device), route.us) << round;
    ASSERT_EQ(route_us(p, route.device), route.us) << round;
  }
  EXPECT_GT(impossible, 0) << "groups without a common device";
}

TEST(Route, WithFewStatesKeptGraphsStayNearTheBest) {
  Invented invented(7);
  double worst = 1;
  double sum = 0;
  int inexact = 0;
  for (int round = 0; round < 1500; ++round) {
    const RouteProblem p = invented.graph(2 + round % 2, 7);
    const Route route = find_route(p, 6);
    const double best = best_of_all(p);
    if (route.is_exact || best == kImpossible || route.device.empty()) continue;
    ASSERT_EQ(count_us(p, route.device), route.us) << round;
    ++inexact;
    worst = std::max(worst, route.us / best);
    sum += route.us / best;
  }
  ASSERT_GT(inexact, 50);
  EXPECT_LE(sum / inexact, 1.01);
  EXPECT_LE(worst, 1.25);
  RecordProperty("worst", std::to_string(worst));
}

TEST(Route, AValueCrossesOnceForAllItsReaders) {
  RouteProblem p;
  p.memory_of = {0, 1};
  p.memories = 2;
  p.values.push_back({.maker = RouteProblem::kNone, .is_output = false, .move_us = {0, 10, 10, 0}});
  for (int i = 0; i < 3; ++i)
    p.launches.push_back({.us = {5, 1}, .reads = {0}, .group = RouteProblem::kNone});
  const Route route = find_route(p);
  EXPECT_EQ(route.device, (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(route.us, 13);
}

TEST(Route, AGroupStaysTogetherThoughItsLaunchesWouldPart) {
  RouteProblem p;
  p.memory_of = {0, 1};
  p.memories = 2;
  p.groups = 1;
  p.launches = {{.us = {1, 9}, .reads = {}, .group = 0}, {.us = {20, 1}, .reads = {}, .group = 0}};
  const Route route = find_route(p);
  EXPECT_EQ(route.device, (std::vector<int>{1, 1}));
  EXPECT_EQ(route.us, 10);
}

/// Thirty-two layers of six launches, with residuals, a cache each and step inputs that every layer reads.
RouteProblem transformer(int devices, Invented& invented) {
  RouteProblem p;
  p.memories = devices;
  for (int d = 0; d < devices; ++d) p.memory_of.push_back(d);
  for (int i = 0; i < 8; ++i) invented.add_value(p, RouteProblem::kNone, false);
  int x = 0;
  const auto launch = [&](std::vector<int> reads, int group) {
    invented.add_launch(p, std::move(reads), group, 1000);
    invented.add_value(p, static_cast<int>(p.launches.size()) - 1, false);
    return static_cast<int>(p.values.size()) - 1;
  };
  x = launch({0}, RouteProblem::kNone);
  const int table = launch({1}, RouteProblem::kNone);
  for (int layer = 0; layer < 32; ++layer) {
    const int group = p.groups++;
    const int q = launch({x, table, 2}, group);
    const int mixed = launch({q, 1, 3, 4, 5}, group);
    const int y = launch({mixed, x}, RouteProblem::kNone);
    const int wide = launch({y}, RouteProblem::kNone);
    x = launch({wide, y}, RouteProblem::kNone);
  }
  launch({x, 6, 7}, RouteProblem::kNone);
  p.values.back().is_output = true;
  return p;
}

TEST(Route, ATransformerOf32LayersIsRoutedExactlyInMilliseconds) {
  for (int devices : {2, 3}) {
    Invented invented(11);
    const RouteProblem p = transformer(devices, invented);
    const auto start = std::chrono::steady_clock::now();
    const Route route = find_route(p);
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    EXPECT_TRUE(route.is_exact) << devices << " devices, " << route.most_states << " states";
    EXPECT_EQ(count_us(p, route.device), route.us);
    EXPECT_LT(ms, 200);  // a busy machine, a debug build
    std::printf("%d devices: %.2f ms, at most %zu states\n", devices, ms, route.most_states);
  }
}

}  // namespace
}  // namespace ingot::exec
