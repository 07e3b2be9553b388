#include "compiler/onnx/roles.h"

namespace trellis::onnx {

static void add_slots(const GraphProto &graph, std::unordered_set<std::string> &names) {
  // Backwards: a name reaches its slot through nodes that only rename it.
  for (int i = graph.node_size(); i-- > 0;) {
    const NodeProto &n = graph.node(i);
    auto slot = [&](int k) {
      if (k < n.input_size() && !n.input(k).empty()) names.insert(n.input(k));
    };
    const std::string &op = n.op_type();
    if (op == "BatchNormalization")
      slot(3), slot(4);
    else if (op == "LSTM")
      slot(5), slot(6);
    else if (op == "GRU" || op == "RNN")
      slot(5);
    else if ((op == "Identity" || op == "Cast") && n.output_size() == 1 && names.contains(n.output(0)))
      slot(0);
    for (const AttributeProto &a : n.attribute()) {
      if (a.has_g()) add_slots(a.g(), names);
      for (const GraphProto &g : a.graphs()) add_slots(g, names);
    }
  }
}

std::unordered_set<std::string> names_in_state_slots(const GraphProto &graph) {
  std::unordered_set<std::string> names;
  add_slots(graph, names);
  return names;
}

} // namespace trellis::onnx
