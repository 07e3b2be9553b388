// What text means as a graph, and what is said about text that means nothing.
#include "ir/build.h"
#include "ir/literal.h"
#include "ir/parse.h"
#include "ir/print.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;

static std::unique_ptr<Graph> body(const std::string &statements, const std::string &inputs = "%x: f32[2, 3]") {
  return parse("trellis 1\ngraph @t(" + inputs + ") {\n" + statements + "\n}\n", "t.trl");
}
static std::vector<Diagnostic> errors(const std::string &text) {
  try {
    parse(text, "t.trl");
  } catch (const CompileError &e) { return e.diagnostics(); }
  return {};
}
static std::vector<Diagnostic> body_errors(const std::string &statements, const std::string &inputs = "%x: f32[2, 3]") {
  return errors("trellis 1\ngraph @t(" + inputs + ") {\n" + statements + "\n}\n");
}

TEST(Parse, BuildsTheGraphThatTheBuilderMakes) {
  auto parsed = body("  param %w : f32[3, 4] init(he_normal)\n  %y = dot %x, %w\n  %z = add %y, 1\n  return %z");
  Graph g("t");
  Value x = g.input("x", {DType::f32, {2, 3}}), w = g.input("w", {DType::f32, {3, 4}}, "param", "he_normal");
  Value y = dot(x, w), z = y + 1.0;
  g.set_name(y, "y"), g.set_name(z, "z");
  g.outputs.push_back({"z", z});
  EXPECT_EQ(print(*parsed), print(g));
  EXPECT_EQ(parsed->node_count(), g.node_count());
  EXPECT_EQ(parsed->inputs()[1].node->attrs.word(Attr::init), "he_normal");
}

TEST(Parse, BroadcastsOperandsAndLiterals) {
  auto g = body("  %y = add %x, %b\n  %z = mul 0.5, %y\n  return %z", "%x: f32[2, 3], %b: f32[3]");
  Value z = g->outputs[0].value;
  EXPECT_EQ(z.type().str(), "f32[2, 3]");
  Value half = z.node->operands[1];
  ASSERT_EQ(half.node->op, Op::expand);
  EXPECT_EQ(half.node->operands[0].node->operands[0].node->attrs.get<Tensor>(Attr::value).get(0), 0.5);
}

TEST(Parse, LiteralsTakeTheOtherOperandsDtypeExactly) {
  auto g = body("  %y = add %x, 9007199254740993\n  return %y", "%x: i64[]");
  EXPECT_EQ(g->outputs[0].value.node->operands[1].node->attrs.get<Tensor>(Attr::value).get_int(0), 9007199254740993);
  auto d = body_errors("  %y = add %x, 300\n  return %y", "%x: u8[]");
  ASSERT_EQ(d.size(), 1u);
  EXPECT_EQ(d[0].text, "'300' is out of range for u8: 0 to 255");
  EXPECT_EQ(d[0].where.column, 16);
}

TEST(Parse, NumbersThatAreNamesAreNotKept) {
  auto g = body("  %12 = exp %x\n  %\"13\" = neg %12\n  return %12, %\"13\"");
  EXPECT_EQ(g->name_of(g->outputs[0].value), "");
  EXPECT_EQ(g->name_of(g->outputs[1].value), "13");
  EXPECT_EQ(g->outputs[0].name, "out0");
  EXPECT_EQ(g->outputs[1].name, "13");
}

TEST(Parse, KeepsWhereNodesComeFrom) {
  auto g = body("  %y = exp %x\n  return %y");
  EXPECT_EQ(g->outputs[0].value.node->loc.str(), "t.trl:3:8");
}

TEST(Parse, SymbolicDimsRunThroughShapeRules) {
  auto g = body("  param %w : f32[784, 10]\n  %y = dot %x, %w : f32[N, 10]\n  %s = reduce %y, kind=sum, "
                "axes=[0] : f32[10]\n  return %s",
                "%x: f32[N, 784]");
  EXPECT_EQ(g->outputs[0].value.type().str(), "f32[10]");
}

TEST(Parse, LargeConstantsComeThroughTheCallback) {
  std::string text = "trellis 1\ngraph @t() {\n  %c = constant f32[2, 2] data(\"w.st\", \"c\")\n  return %c\n}\n";
  Tensor t = Tensor::of<float>(DType::f32, {2, 2}, std::vector<float>{1, 2, 3, 4});
  auto g = parse(text, "t.trl", {.data = [&](const DataRef &r) {
                   EXPECT_EQ(r.file, "w.st");
                   EXPECT_EQ(r.name, "c");
                   return t;
                 }});
  EXPECT_EQ(g->outputs[0].value.node->attrs.get<Tensor>(Attr::value).data(), t.data());
  auto d = errors(text);
  ASSERT_EQ(d.size(), 1u);
  EXPECT_EQ(d[0].text, "the elements lie in 'w.st', which this text came without");
}

TEST(Parse, ReportsEveryMistakeOnceWithItsLine) {
  auto d =
      body_errors("  %a = exq %x\n  %b = add %a, %x\n  %c = exp %y\n  %d = reduce %x, kind=sum, axes=[5]\n  return %b");
  ASSERT_EQ(d.size(), 3u);
  EXPECT_EQ(d[0].text, "there is no op 'exq'; did you mean 'exp'?");
  EXPECT_EQ(d[1].where.line, 5);
  EXPECT_EQ(d[1].text, "%y is not defined");
  EXPECT_EQ(d[2].where.line, 6);
  EXPECT_EQ(d[0].str(), "t.trl:3:8: error: there is no op 'exq'; did you mean 'exp'?\n"
                        "    %a = exq %x\n"
                        "         ^~~");
}

TEST(Parse, RefusesWhatIsNoText) {
  EXPECT_EQ(errors("").at(0).text, "the text is empty: it should begin with 'trellis 1'");
  EXPECT_EQ(errors("graph @t() {\n  return\n}\n").at(0).text,
            "expected the format version, 'trellis 1', before anything else");
  EXPECT_EQ(errors("trellis 2\n").at(0).text, "format version 2 is newer than this program's, 1");
  EXPECT_EQ(errors("trellis 1\ngraph @t() {\n  return\n").at(0).text, "graph @t has no closing '}'");
  EXPECT_EQ(errors("trellis 1\n// \xff\ngraph @t() {\n  return\n}\n").at(0).text, "this byte is not valid UTF-8");
  EXPECT_EQ(errors("trellis 1\ngraph @t() {\n  return\n}\ngraph @u() {\n  return\n}\n").at(0).text,
            "a text holds one graph");
  EXPECT_EQ(body_errors("  %y = add %x, \"open\n  return %x").at(0).text,
            "this string has no closing quote on its line");
}

TEST(Parse, RefusesHugeNumbersAndShapes) {
  EXPECT_EQ(body_errors("  return %x", "%x: f32[99999999999999999999]").at(0).text,
            "'99999999999999999999' is out of range: -2147483648 to 2147483648");
  EXPECT_EQ(body_errors("  return %x", "%x: f32[2000000000, 2000000000]").at(0).text,
            "a tensor of shape [2000000000, 2000000000] is too large");
  EXPECT_EQ(body_errors("  %y = mul %x, 1e99\n  return %y").at(0).text, "'1e99' is out of range for f32");
  EXPECT_EQ(body_errors("  %y = constant f32[1000000, 1000] [1]\n  return %y").at(0).text,
            "f32[1000000, 1000] has 1000000000 elements, but 1 are given");
}

TEST(Parse, NeverCrashesOnDamagedText) {
  const std::string good = "trellis 1\n"
                           "graph @net(%x: f32[N, 4], %l: i64[N]) { // a comment\n"
                           "  param %w : f32[4, 2] init(normal(0.02))\n"
                           "  %y = dot %x, %w : f32[N, 2]\n"
                           "  %c = constant f32[2, 2] [1, nan, -inf, nan(0x7fc00001)]\n"
                           "  %z = dot %y, %c\n"
                           "  %n = mul %w, 0.5\n"
                           "  update %w, %n\n"
                           "  return %z, \"an other\"=%y\n"
                           "}\n";
  ASSERT_TRUE(errors(good).empty());
  uint32_t seed = 1;
  auto random = [&](size_t n) { return (seed = seed * 1664525 + 1013904223) / 256 % n; };
  const std::string pieces[] = {"%",    "(", "]", "{",   "}",      "\"", "\\", "\n", "\xff",
                                "nan(", "=", "@", "9e9", "return", "?",  "-",  ":",  std::string(1, '\0')};
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (size_t k = random(3) + 1; k-- > 0;) {
      size_t at = random(text.size() + 1);
      switch (random(3)) {
      case 0: text.erase(at, random(8)); break;
      case 1: text.insert(at, pieces[random(std::size(pieces))]); break;
      default: text.resize(at); break;
      }
    }
    try {
      std::string once = print(*parse(text));
      EXPECT_EQ(print(*parse(once)), once);
    } catch (const CompileError &e) { EXPECT_FALSE(e.diagnostics().empty()); }
  }
}

TEST(Literal, EveryHalfAndManyFloatsReadBack) {
  for (DType t : {DType::f16, DType::bf16}) {
    Tensor a(t, {}), b(t, {});
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      a.as<uint16_t>()[0] = uint16_t(bits);
      ASSERT_EQ(set_element(b, 0, format_element(a, 0)), "");
      ASSERT_TRUE(a == b) << format_element(a, 0);
    }
  }
  Tensor a(DType::f32, {}), b(DType::f32, {});
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += 104729) {
    a.as<uint32_t>()[0] = uint32_t(bits);
    ASSERT_EQ(set_element(b, 0, format_element(a, 0)), "");
    ASSERT_TRUE(a == b) << format_element(a, 0);
  }
}

TEST(Literal, Spellings) {
  Tensor f(DType::f32, {});
  auto spell = [&](float v) { return f.as<float>()[0] = v, format_element(f, 0); };
  EXPECT_EQ(spell(0.1f), "0.1");
  EXPECT_EQ(spell(-0.0f), "-0");
  EXPECT_EQ(spell(INFINITY), "inf");
  EXPECT_EQ(spell(2), "2");
  f.as<uint32_t>()[0] = 0xffc00000;
  EXPECT_EQ(format_element(f, 0), "nan(0xffc00000)");
  Tensor i(DType::i8, {});
  EXPECT_EQ(set_element(i, 0, "-128"), "");
  EXPECT_EQ(i.get_int(0), -128);
  EXPECT_EQ(set_element(i, 0, "128"), "'128' is out of range for i8: -128 to 127");
  EXPECT_EQ(set_element(i, 0, "1.5"), "'1.5' is not an integer, as i8 needs");
  EXPECT_EQ(set_element(f, 0, "1x"), "'1x' is not a number");
}
