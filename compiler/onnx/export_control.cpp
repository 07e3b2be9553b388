// Control: bodies are closed here, while ONNX's see the names around them, so that what stays the same is not passed on.
#include "compiler/onnx/exporter.h"

namespace trellis::onnx {

namespace {

Names branched(Writer &w, const Node &n, const Names &x) {
  Names rest(x.begin() + 1, x.end());
  return w.call_all(
      "If", {x[0]}, n.types.size(),
      {{"then_branch", w.body(*n.bodies[0], rest, 0, 0)}, {"else_branch", w.body(*n.bodies[1], rest, 0, 0)}});
}

// The condition holds before the first step and behind each.
Names looped(Writer &w, const Node &n, const Names &x) {
  const Graph &test = *n.bodies[0], &step = *n.bodies[1];
  size_t carries = size_t(n.attrs.i_or(Attr::carries, int64_t(x.size())));
  std::string begin = w.inline_graph(test, x)[0], trips;
  if (n.attrs.has(Attr::trips)) trips = w.integer(DType::i64, n.attrs.i(Attr::trips));
  GraphProto own = w.body(step, x, 0, carries);
  // [iteration, condition, carried...] to [condition, carried...].
  GraphProto body = own;
  Writer in(body, w.shared());
  in.hint = "again";
  Names next = x;
  for (size_t i = 0; i < carries; ++i) next[i] = own.output(int(i)).name();
  std::string again = in.call("Identity", {in.inline_graph(test, next)[0]});
  body.clear_input(), body.clear_output();
  *body.add_input() = value_info(w.fresh("iteration"), {DType::i64, {}});
  *body.add_input() = value_info(w.fresh("condition"), {DType::boolean, {}});
  for (const ValueInfoProto &v : own.input()) *body.add_input() = v;
  *body.add_output() = value_info(again, {DType::boolean, {}});
  for (const ValueInfoProto &v : own.output()) *body.add_output() = v;
  Names operands{trips, begin};
  operands.insert(operands.end(), x.begin(), x.begin() + int64_t(carries));
  return w.call_all("Loop", operands, carries, {{"body", body}});
}

Names scanned(Writer &w, const Node &n, const Names &x) {
  const Graph &step = *n.bodies[0];
  size_t carries = size_t(n.attrs.i_or(Attr::carries, 0)),
         slices = size_t(n.attrs.i_or(Attr::slices, int64_t(x.size() - carries)));
  int64_t back = n.attrs.flag(Attr::reverse);
  GraphProto body = w.body(step, x, 0, carries + slices);
  Names operands(x.begin(), x.begin() + int64_t(carries + slices));
  int64_t scanned = int64_t(slices);
  if (slices == 0) { // something has to count the steps
    Tensor steps(DType::i64, {n.attrs.i_or(Attr::trips, 0)});
    operands.push_back(w.constant(steps)), scanned = 1;
    *body.add_input() = value_info(w.fresh("step"), {DType::i64, {}});
  }
  std::vector<NodeAttr> attrs{{"body", body}, {"num_scan_inputs", scanned}};
  if (back) {
    attrs.push_back({"scan_input_directions", Ints(size_t(scanned), 1)});
    if (n.types.size() > carries) attrs.push_back({"scan_output_directions", Ints(n.types.size() - carries, 1)});
  }
  return w.call_all("Scan", operands, n.types.size(), attrs);
}

} // namespace

void add_control(ExportRows &r) { r[Op::cond] = {branched}, r[Op::loop] = {looped}, r[Op::scan] = {scanned}; }

} // namespace trellis::onnx
