// A folder that stands in for "/", removed at the end of the test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ingot {

class TemporaryRoot : public testing::Test {
 protected:
  TemporaryRoot() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ingot-root-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
  }
  ~TemporaryRoot() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

}  // namespace ingot
