// A row that no test names is still half declared: each has tests/ops/NAME.trl, which uses it.
#include "ir/op.h"
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <regex>
#include <sstream>

namespace trellis {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(TRELLIS_SOURCE_DIR) / "tests" / "ops";

std::string contents(const std::filesystem::path &path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Table, EveryRowHasATextThatUsesIt) {
  for (int i = 0; i < kOpCount; ++i) {
    std::string op(name(Op(i)));
    std::string text = contents(kFolder / (op + ".trl"));
    ASSERT_FALSE(text.empty()) << "tests/ops/" << op << ".trl is missing";
    EXPECT_NE(text.find("// RUN: "), std::string::npos) << op;
    EXPECT_NE(text.find("// CHECK: "), std::string::npos) << op;
    if (Op(i) == Op::input) continue; // written in the signature
    EXPECT_TRUE(std::regex_search(text, std::regex("= " + op + " "))) << "tests/ops/" << op << ".trl does not use it";
    if (info(Op(i)).no_gradient || Op(i) == Op::loop) continue;
    EXPECT_NE(text.find("grad("), std::string::npos) << "tests/ops/" << op << ".trl shows no derivative";
  }
}

TEST(Table, EveryTextIsOfARow) {
  for (const auto &file : std::filesystem::directory_iterator(kFolder))
    EXPECT_TRUE(parse_op(file.path().stem().string())) << file.path() << " names no row";
}

TEST(Table, DocumentationIsASentence) {
  for (int i = 0; i < kOpCount; ++i) EXPECT_EQ(info(Op(i)).doc.back(), '.') << name(Op(i));
}

} // namespace
} // namespace trellis
