// The GPU that a test runs on. Tests are skipped, with the reason, in builds and on machines without one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/registry.h"
#include "ingot/error.h"

namespace ingot {

/// A fixture's base: `Base` is testing::Test or testing::TestWithParam<…>.
template <class Base = testing::Test>
class OnGpu : public Base {
 protected:
  void SetUp() override {
    try {
      gpu_ = backend::make_backend("cuda", {});
    } catch (const Error& error) {
      const bool is_absent = error.code() == ErrorCode::not_found || error.code() == ErrorCode::unsupported ||
                             error.code() == ErrorCode::invalid_argument;
      if (!is_absent) throw;
      GTEST_SKIP() << error.what();
    }
  }
  backend::Backend& gpu() { return *gpu_; }

 private:
  std::unique_ptr<backend::Backend> gpu_;
};

}  // namespace ingot
