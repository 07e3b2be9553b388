// Control: ops with bodies. A body is a closed graph whose inputs are given by position; what it captures is
// an operand.
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/ops/ops.h"
#include "ir/vjp.h"
#include <fmt/format.h>

namespace trellis::ops {

using Body = std::shared_ptr<const Graph>;

static bool fits(const Type &a, const Type &b) {
  bool ok = a.dtype == b.dtype && a.rank() == b.rank();
  for (size_t i = 0; ok && i < a.shape.size(); ++i) ok = compatible(a.shape[i], b.shape[i]);
  return ok;
}

static void check_inputs(Infer &c, const Graph &body, const std::vector<Type> &given) {
  c.require(body.updates.empty(), fmt::format("body @{} has updates; carry the state instead", body.name));
  c.require(body.inputs().size() == given.size(),
            fmt::format("body @{} takes {} inputs, but {} are given", body.name, body.inputs().size(), given.size()));
  for (size_t i = 0; i < given.size(); ++i)
    c.require(fits(body.inputs()[i].type(), given[i]),
              fmt::format("body @{}: input {} is {}, but {} is given", body.name, i + 1, body.inputs()[i].type().str(),
                          given[i].str()));
}
static const Type &output(const Graph &body, size_t i) { return body.outputs[i].value.type(); }

static std::vector<Type> types_of(const Values &all, size_t from = 0) {
  std::vector<Type> out;
  for (size_t i = from; i < all.size(); ++i) out.push_back(all[i].type());
  return out;
}

/// A new body under construction, with another body's nodes copied in.
class BodyBuilder {
public:
  explicit BodyBuilder(std::string name) : graph_(std::make_shared<Graph>(std::move(name))) {}
  Graph &graph() { return *graph_; }
  Value input(const Type &t) { return graph_->input(fmt::format("x{}", graph_->inputs().size()), t); }
  Values inputs(const std::vector<Type> &types) {
    Values out;
    for (const Type &t : types) out.push_back(input(t));
    return out;
  }
  /// The outputs of `body` given its inputs.
  Values call(const Graph &body, const Values &given) {
    ValueMap map;
    for (size_t i = 0; i < given.size(); ++i) map[body.inputs()[i].node] = {given[i]};
    Values out;
    for (const NamedValue &o : body.outputs) out.push_back(copy_into(*graph_, o.value, map));
    return out;
  }
  void output(Value v) { graph_->outputs.push_back({fmt::format("y{}", graph_->outputs.size()), v}); }
  Value zero(const Type &t) { return graph_->splat(t, 0); }
  Body finish() { return graph_; }

private:
  std::shared_ptr<Graph> graph_;
};

// --- cond(p, operands...): bodies then, else ---

void infer_cond(Infer &c) {
  c.require(c.bodies.size() == 2, fmt::format("has 2 bodies (then, else), {} given", c.bodies.size()));
  c.require(c.x().dtype == DType::boolean && c.x().rank() == 0,
            fmt::format("the condition is {}, but must be a bool scalar", c.x().str()));
  const Graph &yes = *c.bodies[0], &no = *c.bodies[1];
  for (const Body &b : c.bodies) check_inputs(c, *b, types_of(c.operands, 1));
  c.require(
      yes.outputs.size() == no.outputs.size() && !yes.outputs.empty(),
      fmt::format("body @{} gives {} results, body @{} {}", yes.name, yes.outputs.size(), no.name, no.outputs.size()));
  for (size_t i = 0; i < yes.outputs.size(); ++i) {
    c.require(fits(output(yes, i), output(no, i)),
              fmt::format("result {} is {} in body @{}, but {} in body @{}", i + 1, output(yes, i).str(), yes.name,
                          output(no, i).str(), no.name));
    c.types.push_back(output(yes, i));
  }
}

void interpret_cond(EvalContext &c) {
  c.y = evaluate(*c.node.bodies[c.x[0].get_int(0) ? 0 : 1], std::vector<Tensor>(c.x.begin() + 1, c.x.end()));
}

// A cond whose bodies are the derivatives of the bodies, given the operands and the cotangents that are
// there.
Values vjp_cond(Vjp v) {
  Values given(v.x.begin() + 1, v.x.end()), operands = v.x;
  std::vector<size_t> seeded, wanted;
  for (size_t i = 0; i < v.dys.size(); ++i)
    if (v.dys[i]) seeded.push_back(i), operands.push_back(v.dys[i]);
  for (size_t i = 0; i < given.size(); ++i)
    if (is_float(given[i].dtype())) wanted.push_back(i);
  Values out(v.x.size());
  if (wanted.empty()) return out;
  std::vector<Body> bodies;
  for (const Body &body : v.node.bodies) {
    BodyBuilder b("grad." + body->name);
    Values x = b.inputs(types_of(given)), wrt;
    Values y = b.call(*body, x);
    std::vector<Cotangent> seeds;
    for (size_t i : seeded) seeds.push_back({y[i], b.input(y[i].type())});
    for (size_t i : wanted) wrt.push_back(x[i]);
    Values dx = pull_back(seeds, wrt, true);
    for (size_t i = 0; i < dx.size(); ++i) b.output(dx[i] ? dx[i] : b.zero(wrt[i].type()));
    bodies.push_back(b.finish());
  }
  const Node *n = v.graph().node(Op::cond, operands, {}, bodies);
  for (size_t i = 0; i < wanted.size(); ++i) out[wanted[i] + 1] = n->result(uint32_t(i));
  return out;
}

// --- loop(carried..., captured...): bodies condition, step ---

static size_t carries_of(Infer &c) {
  int64_t n = c.attrs.i_or(Attr::carries, int64_t(c.operands.size()));
  c.require(n >= 0 && n <= int64_t(c.operands.size()),
            fmt::format("'carries' is {}, but {} operands are given", n, c.operands.size()));
  c.attrs.set(Attr::carries, n);
  return size_t(n);
}

void infer_loop(Infer &c) {
  c.require(c.bodies.size() == 2, fmt::format("has 2 bodies (condition, step), {} given", c.bodies.size()));
  const Graph &test = *c.bodies[0], &step = *c.bodies[1];
  size_t n = carries_of(c);
  c.require(n > 0, "carries nothing");
  c.require(c.attrs.i_or(Attr::trips, 0) >= 0, "'trips' must not be negative");
  for (const Body &b : c.bodies) check_inputs(c, *b, types_of(c.operands));
  c.require(test.outputs.size() == 1 && output(test, 0).dtype == DType::boolean && output(test, 0).rank() == 0,
            fmt::format("body @{} must give one bool scalar", test.name));
  c.require(step.outputs.size() == n,
            fmt::format("body @{} gives {} results, but {} are carried", step.name, step.outputs.size(), n));
  for (size_t i = 0; i < n; ++i) {
    c.require(fits(output(step, i), c.x(i)), fmt::format("carried value {} is {}, but body @{} gives {}", i + 1,
                                                         c.x(i).str(), step.name, output(step, i).str()));
    c.types.push_back(c.x(i));
  }
}

void interpret_loop(EvalContext &c) {
  std::vector<Tensor> state = c.x;
  int64_t most = c.node.attrs.i_or(Attr::trips, std::numeric_limits<int64_t>::max());
  for (int64_t trip = 0; trip < most && evaluate(*c.node.bodies[0], state)[0].get_int(0); ++trip) {
    std::vector<Tensor> next = evaluate(*c.node.bodies[1], state);
    for (size_t i = 0; i < next.size(); ++i) state[i] = next[i];
  }
  for (size_t i = 0; i < c.y.size(); ++i) c.y[i] = state[i];
}

Values vjp_loop(Vjp v) {
  throw CompileError(
      v.node.loc,
      "loop: a loop whose number of iterations is not fixed can not be reversed; use scan, whose number is");
}

// --- scan(carried..., sliced..., captured...): one body, a fixed number of iterations ---

namespace {
struct ScanDims {
  size_t carries, slices; ///< operands that are carried, and that are sliced along axis 0
  int64_t trips;
};
} // namespace

static Type sliced(const Type &t) { return {t.dtype, Shape(t.shape.begin() + 1, t.shape.end())}; }
static Type stacked(const Type &t, Dim trips) {
  Type out{t.dtype, {trips}};
  out.shape.insert(out.shape.end(), t.shape.begin(), t.shape.end());
  return out;
}

void infer_scan(Infer &c) {
  c.require(c.bodies.size() == 1, fmt::format("has one body, {} given", c.bodies.size()));
  const Graph &body = *c.bodies[0];
  int64_t n = int64_t(c.operands.size()), carries = c.attrs.i_or(Attr::carries, 0);
  c.require(carries >= 0 && carries <= n, fmt::format("'carries' is {}, but {} operands are given", carries, n));
  int64_t slices = c.attrs.i_or(Attr::slices, n - carries);
  c.require(slices >= 0 && slices <= n - carries,
            fmt::format("'carries' is {} and 'slices' {}, but {} operands are given", carries, slices, n));
  int64_t given_trips = c.attrs.i_or(Attr::trips, 0);
  c.require(given_trips >= 0 && given_trips <= INT32_MAX,
            fmt::format("'trips' is {}, but must lie in 0 to {}", given_trips, INT32_MAX));
  Dim trips = c.attrs.has(Attr::trips) ? Dim(given_trips) : Dim::unknown();
  c.require(slices || trips.is_static(), "needs 'trips' where nothing is sliced");
  std::vector<Type> given;
  for (int64_t i = 0; i < n; ++i) {
    const Type &t = c.x(size_t(i));
    if (i < carries || i >= carries + slices) {
      given.push_back(t);
      continue;
    }
    c.require(t.rank() >= 1, fmt::format("operand {} is {}, which has no axis to slice", i + 1, t.str()));
    c.require(compatible(t.shape[0], trips),
              fmt::format("operand {} is {}, but there are {} iterations", i + 1, t.str(), trips.str()));
    if (trips.is_unknown()) trips = t.shape[0];
    given.push_back(sliced(t));
  }
  check_inputs(c, body, given);
  c.require(int64_t(body.outputs.size()) >= carries && !body.outputs.empty(),
            fmt::format("body @{} gives {} results, but {} are carried", body.name, body.outputs.size(), carries));
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    bool carried = int64_t(i) < carries;
    c.require(!carried || fits(output(body, i), c.x(i)),
              fmt::format("carried value {} is {}, but body @{} gives {}", i + 1, carried ? c.x(i).str() : "",
                          body.name, output(body, i).str()));
    c.types.push_back(carried ? c.x(i) : stacked(output(body, i), trips));
  }
  if (!carries) c.attrs.erase(Attr::carries);
  if (slices == n - carries) c.attrs.erase(Attr::slices);
  if (slices) c.attrs.erase(Attr::trips); // the operands say it
  if (!c.attrs.flag(Attr::reverse)) c.attrs.erase(Attr::reverse);
}

static ScanDims scan_dims(const Node &n) {
  size_t carries = size_t(n.attrs.i_or(Attr::carries, 0));
  size_t slices = size_t(n.attrs.i_or(Attr::slices, int64_t(n.operands.size() - carries)));
  return {carries, slices, slices ? n.operands[carries].shape()[0].value() : n.attrs.i(Attr::trips)};
}

void interpret_scan(EvalContext &c) {
  ScanDims d = scan_dims(c.node);
  std::vector<Tensor> state = c.x;
  for (int64_t trip = 0; trip < d.trips; ++trip) {
    int64_t at = c.node.attrs.flag(Attr::reverse) ? d.trips - 1 - trip : trip;
    for (size_t i = d.carries; i < d.carries + d.slices; ++i) {
      const Tensor &all = c.x[i];
      Tensor one(all.dtype(), {all.dims().begin() + 1, all.dims().end()});
      std::copy_n(all.data() + at * one.bytes(), one.bytes(), one.data());
      state[i] = one;
    }
    std::vector<Tensor> next = evaluate(*c.node.bodies[0], state);
    for (size_t i = 0; i < next.size(); ++i)
      if (i < d.carries)
        state[i] = next[i];
      else
        std::copy_n(next[i].data(), next[i].bytes(), c.y[i].data() + at * next[i].bytes());
  }
  for (size_t i = 0; i < d.carries; ++i) c.y[i] = state[i];
}

// A reverse scan. A forward scan with one more output a carried value keeps what each iteration began with;
// the reverse one computes the body again from it and pulls cotangents through. Cotangents of captured values
// add up in a carry.
Values vjp_scan(Vjp v) {
  const Node &n = v.node;
  const Graph &body = *n.bodies[0];
  ScanDims d = scan_dims(n);
  Values carried(v.x.begin(), v.x.begin() + std::ptrdiff_t(d.carries));
  Values slices(v.x.begin() + std::ptrdiff_t(d.carries), v.x.begin() + std::ptrdiff_t(d.carries + d.slices));
  Values captured(v.x.begin() + std::ptrdiff_t(d.carries + d.slices), v.x.end());

  BodyBuilder f("history." + body.name);
  Values begin;
  for (Value in : body.inputs()) begin.push_back(f.input(in.type()));
  for (Value y : f.call(body, begin)) f.output(y);
  for (size_t i = 0; i < d.carries; ++i) f.output(begin[i]);
  Values history;
  if (d.carries) {
    const Node *forward = v.graph().node(Op::scan, v.x, n.attrs, {f.finish()});
    for (size_t i = 0; i < d.carries; ++i) history.push_back(forward->result(uint32_t(n.types.size() + i)));
  }

  // Operands of the reverse scan: cotangents of carried values, sums for captured ones | history, slices,
  // cotangents of the stacked results | captured values.
  auto floats = [](const Values &all) {
    std::vector<size_t> out;
    for (size_t i = 0; i < all.size(); ++i)
      if (is_float(all[i].dtype())) out.push_back(i);
    return out;
  };
  std::vector<size_t> fcarried = floats(carried), fslices = floats(slices), fcaptured = floats(captured), fstacked;
  Values operands;
  for (size_t i : fcarried) operands.push_back(v.dys[i] ? v.dys[i] : v.graph().splat(carried[i].type(), 0));
  for (size_t i : fcaptured) operands.push_back(v.graph().splat(captured[i].type(), 0));
  size_t carries = operands.size();
  operands.insert(operands.end(), history.begin(), history.end());
  operands.insert(operands.end(), slices.begin(), slices.end());
  for (size_t i = d.carries; i < n.types.size(); ++i)
    if (v.dys[i]) fstacked.push_back(i), operands.push_back(v.dys[i]);
  size_t sliced_count = operands.size() - carries;
  operands.insert(operands.end(), captured.begin(), captured.end());

  BodyBuilder b("grad." + body.name);
  Values dcarried, sums, x, dstacked, wrt;
  for (size_t i : fcarried) dcarried.push_back(b.input(carried[i].type()));
  for (size_t i : fcaptured) sums.push_back(b.input(captured[i].type()));
  for (Value c : carried) x.push_back(b.input(c.type()));
  for (Value s : slices) x.push_back(b.input(sliced(s.type())));
  for (size_t i : fstacked) dstacked.push_back(b.input(sliced(n.types[i])));
  for (Value c : captured) x.push_back(b.input(c.type()));
  Values y = b.call(body, x);
  std::vector<Cotangent> seeds;
  for (size_t k = 0; k < fcarried.size(); ++k) seeds.push_back({y[fcarried[k]], dcarried[k]});
  for (size_t k = 0; k < fstacked.size(); ++k) seeds.push_back({y[fstacked[k]], dstacked[k]});
  for (size_t i : fcarried) wrt.push_back(x[i]);
  for (size_t i : fcaptured) wrt.push_back(x[d.carries + d.slices + i]);
  for (size_t i : fslices) wrt.push_back(x[d.carries + i]);
  Values dx = pull_back(seeds, wrt, true);
  for (size_t k = 0; k < dx.size(); ++k) {
    bool sum = k >= fcarried.size() && k < fcarried.size() + fcaptured.size();
    Value at = sum ? sums[k - fcarried.size()] : Value{};
    b.output(sum ? (dx[k] ? at + dx[k] : at) : dx[k] ? dx[k] : b.zero(wrt[k].type()));
  }
  Values out(v.x.size());
  if (dx.empty()) return out;

  Attrs a{{Attr::carries, int64_t(carries)},
          {Attr::slices, int64_t(sliced_count)},
          {Attr::reverse, !n.attrs.flag(Attr::reverse)}};
  if (!sliced_count) a.set(Attr::trips, d.trips);
  const Node *back = v.graph().node(Op::scan, operands, std::move(a), {b.finish()});
  uint32_t k = 0;
  for (size_t i : fcarried) out[i] = back->result(k++);
  for (size_t i : fcaptured) out[d.carries + d.slices + i] = back->result(k++);
  for (size_t i : fslices) out[d.carries + i] = back->result(k++);
  return out;
}

} // namespace trellis::ops
