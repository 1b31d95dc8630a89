// The program of docs/graph.md: gelu(x W + b) as a graph, compiled with and without fusion.
#include <ingot/graph.h>

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

constexpr int64_t kIn = 512;
constexpr int64_t kOut = 256;

ingot::Array wave(const ingot::Shape& shape, float step) {
  ingot::Array array = ingot::Array::empty(ingot::DType::f32, shape);
  for (int64_t i = 0; i < array.elements(); ++i)
    array.mutable_data<float>()[i] = std::sin(step * static_cast<float>(i));
  return array;
}

}  // namespace

int main() {
  try {
    const ingot::Array weights = wave({kIn, kOut}, 0.1F);
    const ingot::Array bias = wave({kOut}, 0.3F);
    const ingot::Array rows = wave({3, kIn}, 0.01F);

    ingot::Graph g;
    auto x = g.input("x", ingot::DType::f32, {ingot::Dim::any(), kIn});
    auto w = g.constant(weights);
    auto b = g.constant(bias);
    g.output("y", gelu(matmul(x, w) + b));
    ingot::Program program = g.compile({.most = 64});
    ingot::Array y = program.run({{"x", rows}})["y"];

    std::printf("y %s: %.4f %.4f %.4f …\n", to_string(y.shape()).c_str(), y.data<float>()[0],
                y.data<float>()[1], y.data<float>()[2]);
    ingot::Program unfused = g.compile({.most = 64, .options = {.no_fuse = {"all"}}});
    std::printf("\nas built, launches a run: %lld\n%s", static_cast<long long>(unfused.statistics().launches),
                unfused.to_text().c_str());
    std::printf("\nfused, launches a run: %lld\n%s", static_cast<long long>(program.statistics().launches),
                program.to_text().c_str());

    const ingot::Array same = unfused.run({{"x", rows}})["y"];
    float difference = 0;
    for (int64_t i = 0; i < y.elements(); ++i)
      difference = std::fmax(difference, std::abs(y.data<float>()[i] - same.data<float>()[i]));
    std::printf("\nthe two differ by at most %g\n", difference);
    return difference < 1e-4F ? 0 : 1;
  } catch (const ingot::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
