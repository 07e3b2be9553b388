// Helpers of the data tests: files in a folder of their own, and the text of the error that a call gives.
#pragma once
#include "ir/diag.h"
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <sys/resource.h>

namespace trellis::testing {

/// A folder that goes away with the object.
class TestFolder {
public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "trellis-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) std::abort();
    path_ = pattern;
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder &) = delete;
  TestFolder &operator=(const TestFolder &) = delete;
  std::string operator/(const std::string &name) const { return (path_ / name).string(); }
  std::string put(const std::string &name, const std::string &bytes) const {
    std::ofstream(*this / name, std::ios::binary) << bytes;
    return *this / name;
  }
  size_t files() const {
    return size_t(std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

private:
  std::filesystem::path path_;
};

inline std::string bytes_of(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The CompileError's text, which must be a single line; "" and a failure when none comes.
template <class F> std::string error_of(F &&f) {
  try {
    f();
  } catch (const CompileError &e) {
    std::string text = e.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text;
  }
  ADD_FAILURE() << "no error";
  return "";
}

inline void expect_in(const std::string &part, const std::string &text) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

/// Files of this process cannot grow beyond `bytes` while the object lives: a disk that is full.
class FileSizeLimit {
public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
  rlimit before_{};
};

/// The folder of test data, or "" where there is none (the test then skips).
inline std::string test_data() {
  const char *set = std::getenv("TRELLIS_TESTDATA");
  std::filesystem::path path = set ? set : TRELLIS_SOURCE_DIR "/../shared";
  return std::filesystem::is_directory(path) ? path.string() : "";
}

} // namespace trellis::testing
