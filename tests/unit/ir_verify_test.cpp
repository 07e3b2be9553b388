// Each invariant, broken on purpose.
#include "ir/build.h"
#include "ir/parse.h"
#include "ir/verify.h"
#include <gtest/gtest.h>

using namespace trellis;

static std::unique_ptr<Graph> sample() {
  return parse("trellis 1\ngraph @t(%x: f32[2, 3]) {\n  param %w : f32[2, 3]\n  %y = add %x, %w\n  %z = "
               "reduce %y, kind=sum, axes=[1]\n"
               "  update %w, %y\n  return %z\n}\n");
}
static std::string complaint(const Graph &g) {
  try {
    verify(g);
  } catch (const CompileError &e) { return e.what(); }
  return "";
}
static Node &open(Value v) { return const_cast<Node &>(*v.node); }
#define EXPECT_COMPLAINT(g, part) EXPECT_NE(complaint(g).find(part), std::string::npos) << complaint(g)

TEST(Verify, AcceptsWhatTheBuilderMakes) { EXPECT_EQ(complaint(*sample()), ""); }

TEST(Verify, TypesFollowTheShapeRule) {
  auto g = sample();
  open(g->find_name("z")).types[0].shape[0] = 3;
  EXPECT_COMPLAINT(*g, "types are not what the shape rule gives");
  g = sample();
  open(g->find_name("z")).attrs.set(Attr::axes, std::vector<int64_t>{-1});
  EXPECT_COMPLAINT(*g, "attributes are not canonical");
  g = sample();
  open(g->find_name("z")).attrs.set(Attr::axes, std::vector<int64_t>{7});
  EXPECT_COMPLAINT(*g, "out of range");
}

TEST(Verify, OperandsComeFirstAndInOrder) {
  auto g = sample();
  open(g->find_name("z")).operands[0] = g->find_name("z");
  EXPECT_COMPLAINT(*g, "does not come before its user");
  g = sample();
  std::swap(open(g->find_name("y")).operands[0], open(g->find_name("y")).operands[1]);
  EXPECT_COMPLAINT(*g, "not in order");
  g = sample();
  auto other = sample();
  open(g->find_name("z")).operands[0] = other->find_name("y");
  EXPECT_COMPLAINT(*g, "of another graph");
}

TEST(Verify, UpdatesTieStateToItsType) {
  auto g = sample();
  g->updates[0].next = g->find_name("z");
  EXPECT_COMPLAINT(*g, "an update by a f32[2]");
  g = sample();
  g->updates[0].state = g->find_name("x");
  EXPECT_COMPLAINT(*g, "neither a parameter nor a state");
  g = sample();
  g->updates.push_back(g->updates[0]);
  EXPECT_COMPLAINT(*g, "two updates");
}

TEST(Verify, OutputsHaveNamesOfTheirOwn) {
  auto g = sample();
  g->outputs.push_back({"z", g->find_name("y")});
  EXPECT_COMPLAINT(*g, "two outputs are named 'z'");
}
