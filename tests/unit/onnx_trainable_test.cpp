// Models as training reads them: which initialisers are parameters, and batch norm and dropout in one form.
#include "tests/unit/onnx_models.h"

namespace trellis::onnx {

static std::string roles(const Graph &g) {
  std::string out;
  for (Value v : g.inputs())
    out += v.node->attrs.word(Attr::name) + ":" + v.node->attrs.get_or<std::string>(Attr::role, "data") + " ";
  return out;
}
static bool has(const Graph &g, Op op) {
  for (const Node *n : g.reachable())
    if (n->op == op) return true;
  return false;
}

TEST(OnnxTrainable, RunningStatisticsAreStateWhateverTheMode) {
  for (bool training : {false, true}) {
    ModelMaker m;
    m.input("x", {4, 2});
    for (const char *name : {"scale", "bias", "mean0", "var"}) m.floats(name, {2}, {1, 1});
    m.node("Identity", {"mean0"}, {"mean"});
    NodeProto *n = m.node("BatchNormalization", {"x", "scale", "bias", "mean", "var"}, {"y"});
    if (training) set_int(n, "training_mode", 1), n->add_output("mean_next"), n->add_output("var_next");
    m.output("y");
    ImportOptions o;
    o.trainable = true;
    Imported i = import_model(m.file(), o);
    EXPECT_EQ(roles(*i.graph), "x:data scale:param bias:param mean0:state var:state ");
    EXPECT_TRUE(has(*i.graph, Op::batch_norm_inference));
    Interface declared = interface_of(m.file());
    EXPECT_EQ(roles(*declared.inputs), roles(*i.graph));
    EXPECT_EQ(declared.weights.size(), 4u);
    EXPECT_EQ(has(*import_model(m.file()).graph, Op::batch_norm), training);
  }
}

TEST(OnnxTrainable, FirstStatesAreNotTrained) {
  ModelMaker m;
  m.input("x", {1, 1, 1});
  m.floats("w", {1, 4, 1}, {1, 1, 1, 1}), m.floats("r", {1, 4, 1}, {1, 1, 1, 1});
  m.floats("h", {1, 1, 1}, {0}), m.floats("c", {1, 1, 1}, {0});
  set_int(m.node("LSTM", {"x", "w", "r", "", "", "h", "c"}, {"y"}), "hidden_size", 1);
  m.output("y");
  ImportOptions o;
  o.trainable = true;
  EXPECT_EQ(roles(*import_model(m.file(), o).graph), "x:data w:param r:param h:state c:state ");
}

TEST(OnnxTrainable, DropoutDropsForTrainingAlone) {
  ModelMaker m;
  m.input("x", {8});
  m.floats("ratio", {}, {0.25});
  m.node("Dropout", {"x", "ratio"}, {"h"});
  m.node("Dropout", {"h"}, {"y"});
  m.output("y");
  ImportOptions o;
  o.trainable = true;
  Imported i = import_model(m.file(), o);
  EXPECT_EQ(roles(*i.graph), "x:data dropout.seed:state ");
  std::vector<double> rates;
  for (const Node *n : i.graph->reachable())
    if (n->op == Op::dropout) rates.push_back(n->attrs.get<double>(Attr::rate));
  EXPECT_EQ(rates, (std::vector<double>{0.25, 0.5}));
  EXPECT_FALSE(has(*import_model(m.file()).graph, Op::dropout));
}

} // namespace trellis::onnx
