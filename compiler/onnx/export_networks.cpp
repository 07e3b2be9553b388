// Contractions and the named ops of networks that ONNX has as well.
#include "compiler/onnx/exporter.h"
#include <algorithm>

namespace trellis::onnx {

namespace {

Ints attr(const Node &n, Attr a, size_t count, int64_t otherwise) {
  return n.attrs.has(a) ? n.attrs.ints(a) : Ints(count, otherwise);
}

Names product(Writer &w, const Node &n, const Names &x) {
  DType t = n.type().dtype;
  DType wide = is_float(t) ? t : t == DType::i64 || t == DType::u64 || t == DType::u32 ? DType::i64 : DType::i32;
  return {w.cast(w.call("MatMul", {w.cast(x[0], t, wide), w.cast(x[1], t, wide)}), wide, t)};
}

// Runtimes convolve floats over one to three axes.
bool convolved(const Node &n) {
  size_t spatial = size_t(n.type().rank()) - 2;
  return is_float(n.type().dtype) && spatial >= 1 && spatial <= 3 && n.type().size() > 0 &&
         n.operands[0].type().size() > 0;
}
std::vector<NodeAttr> window_attrs(const Node &n, size_t spatial) {
  Ints pads = attr(n, Attr::lo, spatial, 0), hi = attr(n, Attr::hi, spatial, 0);
  pads.insert(pads.end(), hi.begin(), hi.end());
  return {{"strides", attr(n, Attr::stride, spatial, 1)},
          {"dilations", attr(n, Attr::dilation, spatial, 1)},
          {"pads", pads}};
}
Names convolution(Writer &w, const Node &n, const Names &x) {
  size_t spatial = size_t(n.type().rank()) - 2;
  if (!convolved(n)) { // by the movement ops and a product, which is what it is defined by
    auto alone = std::make_unique<Graph>("conv");
    alone->location = n.loc;
    Values in{alone->input("x", n.operands[0].type()), alone->input("w", n.operands[1].type())};
    const Node *copy = alone->node(n.op, in, n.attrs);
    for (Value v : n.info().expand({*copy, in})) alone->outputs.push_back({"y", v});
    if (alone->outputs[0].value.node->op == Op::conv) no_form(n, "its padding and types");
    return w.inline_graph(*alone, x);
  }
  std::vector<NodeAttr> attrs = window_attrs(n, spatial);
  // A spread input and padding that crops are made before.
  Ints apart = attr(n, Attr::input_dilation, spatial, 1), lo = attr(n, Attr::lo, spatial, 0),
       hi = attr(n, Attr::hi, spatial, 0);
  Ints d = dims_of(n.operands[0].shape());
  Names in = x;
  for (size_t k = 0; k < spatial; ++k) in[0] = spread(w, in[0], n.type().dtype, d, 2 + k, apart[k] - 1);
  auto crops = [](int64_t p) { return p < 0; };
  if (std::any_of(lo.begin(), lo.end(), crops) || std::any_of(hi.begin(), hi.end(), crops)) {
    lo.insert(lo.begin(), 2, 0), hi.insert(hi.begin(), 2, 0);
    in[0] = surround(w, in[0], n.type().dtype, d, lo, hi);
    attrs[2].value = Ints(2 * spatial, 0);
  }
  Ints kernel = dims_of(n.operands[1].shape());
  kernel.erase(kernel.begin(), kernel.begin() + 2);
  attrs.push_back({"kernel_shape", kernel}), attrs.push_back({"group", n.attrs.i_or(Attr::groups, 1)});
  return {w.call("Conv", in, attrs)};
}

bool pooled(const Node &n) {
  const Ints &size = n.attrs.ints(Attr::size);
  Ints lo = attr(n, Attr::lo, size.size(), 0), hi = attr(n, Attr::hi, size.size(), 0);
  for (size_t k = 0; k < size.size(); ++k)
    if (lo[k] < 0 || hi[k] < 0 || lo[k] >= size[k] || hi[k] >= size[k]) return false;
  return is_float(n.type().dtype) && n.type().size() > 0 && size.size() >= 1 && size.size() <= 3 &&
         n.type().rank() == int(size.size()) + 2;
}
Names pooling(Writer &w, const Node &n, const Names &x) {
  const Ints &size = n.attrs.ints(Attr::size);
  std::vector<NodeAttr> attrs = window_attrs(n, size.size());
  attrs.push_back({"kernel_shape", size});
  if (n.op == Op::avg_pool) attrs.push_back({"count_include_pad", int64_t(n.attrs.flag(Attr::count_pad))});
  return {w.call(n.op == Op::max_pool ? "MaxPool" : "AveragePool", x, attrs)};
}

Names softened(Writer &w, const Node &n, const Names &x) {
  return {w.call(n.op == Op::softmax ? "Softmax" : "LogSoftmax", x, {{"axis", n.attrs.i_or(Attr::axis, -1)}})};
}
Names layer(Writer &w, const Node &n, const Names &x) {
  int64_t axis = n.attrs.i_or(Attr::axis, -1), rank = n.type().rank(), from = axis < 0 ? axis + rank : axis;
  Names in = x;
  if (in.size() == 1) {
    Tensor one(n.type().dtype, dims_of(Shape(n.type().shape.begin() + from, n.type().shape.end())));
    for (int64_t i = 0; i < one.size(); ++i) one.set(i, 1);
    in.push_back(w.constant(one));
  }
  return {w.call("LayerNormalization", in, {{"axis", axis}, {"epsilon", n.attrs.get_or<double>(Attr::epsilon, 1e-5)}})};
}
Names batch(Writer &w, const Node &n, const Names &x) {
  return {w.call("BatchNormalization", x,
                 {{"epsilon", n.attrs.get_or<double>(Attr::epsilon, 1e-5)},
                  {"momentum", 1 - n.attrs.get_or<double>(Attr::momentum, 0.1)}})};
}
bool some(const Node &n) { return n.type().size() > 0 && n.type().rank() > 0; }

} // namespace

void add_networks(ExportRows &r) {
  r[Op::dot] = {product}, r[Op::conv] = {convolution}, r[Op::max_pool] = r[Op::avg_pool] = {pooling, pooled};
  r[Op::softmax] = r[Op::log_softmax] = {softened, some}, r[Op::layer_norm] = {layer, some},
  r[Op::batch_norm_inference] = {batch, some};
}

} // namespace trellis::onnx
