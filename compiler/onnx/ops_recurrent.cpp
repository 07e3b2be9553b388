// LSTM, GRU and RNN. The inputs' products are one product ahead of time; what is left is a step per time index, unrolled
// for short sequences and a scan for long ones.
#include "compiler/onnx/recipe.h"
#include <cmath>
#include <fmt/format.h>
#include <functional>

namespace trellis::onnx {

namespace {

constexpr int64_t kMostUnrolled = 4;

using Activation = std::function<Value(Value)>;

struct Cell {
  int64_t gates = 1, hidden = 0;
  std::vector<Activation> f;
  double clip = 0;
  bool input_forget = false, linear_before_reset = false;
  Value limited(Value v) const { return clip > 0 ? max(min(v, clip), -clip) : v; }
};

// The activations of one direction, with their parameters taken off the lists in order.
struct Activations {
  std::vector<double> alpha, beta;
  size_t a = 0, b = 0;
  Activation next(const Step &s, std::string name) {
    for (char &c : name) c = char(std::tolower(uint8_t(c)));
    auto take = [](std::vector<double> &from, size_t &at, double otherwise) {
      return at < from.size() ? from[at++] : otherwise;
    };
    if (name == "sigmoid") return [](Value v) { return sigmoid(v); };
    if (name == "tanh") return [](Value v) { return tanh(v); };
    if (name == "relu") return [](Value v) { return relu(v); };
    if (name == "softsign") return [](Value v) { return v / (abs(v) + 1); };
    if (name == "softplus") return [](Value v) { return softplus(v); };
    if (name == "leakyrelu")
      return [k = take(alpha, a, 0.01)](Value v) { return elementwise(Op::leaky_relu, {v}, {{Attr::alpha, k}}); };
    if (name == "elu")
      return [k = take(alpha, a, 1)](Value v) { return elementwise(Op::elu, {v}, {{Attr::alpha, k}}); };
    if (name == "thresholdedrelu") return [k = take(alpha, a, 1)](Value v) { return select(lt(k, v), v, 0); };
    if (name == "affine") return [k = take(alpha, a, 1), c = take(beta, b, 0)](Value v) { return v * k + c; };
    if (name == "scaledtanh") return [k = take(alpha, a, 1), c = take(beta, b, 1)](Value v) { return tanh(v * c) * k; };
    if (name == "hardsigmoid")
      return [k = take(alpha, a, 0.2), c = take(beta, b, 0.5)](Value v) { return max(min(v * k + c, 1), 0); };
    s.fail(fmt::format("activation {} is not supported", quote_name(name)));
  }
};

// The next state. x [B, gates H] is the input's part of the gates; w: R^T [H, gates H], then (GRU) the recurrent bias of the
// hidden gate [H], or (LSTM) peepholes [3 H].
Values step(const Cell &c, const std::string &op, const Values &state, Value x, const Values &w) {
  Value h = state[0];
  int64_t n = c.hidden;
  auto gate = [&](Value v, int64_t k) { return narrow(v, 1, k * n, (k + 1) * n); };
  auto row = [&](Value v, int64_t k) { return broadcast_to(narrow(v, 0, k * n, (k + 1) * n), h.shape()); };
  if (op == "RNN") return {c.f[0](c.limited(x + dot(h, w[0])))};
  if (op == "GRU") {
    Value r0 = dot(h, narrow(w[0], 1, 0, 2 * n)), hidden_r = narrow(w[0], 1, 2 * n, 3 * n),
          bias = broadcast_to(w[1], h.shape());
    Value z = c.f[0](c.limited(gate(x, 0) + gate(r0, 0))), r = c.f[0](c.limited(gate(x, 1) + gate(r0, 1)));
    Value inner = c.linear_before_reset ? r * (dot(h, hidden_r) + bias) : dot(r * h, hidden_r) + bias;
    Value hidden = c.f[1](c.limited(gate(x, 2) + inner));
    return {(1.0 - z) * hidden + z * h};
  }
  Value memory = state[1], all = x + dot(h, w[0]); // gates i, o, f, c
  bool peep = w.size() > 1;
  Value i = gate(all, 0), o = gate(all, 1), f = gate(all, 2), m = gate(all, 3);
  if (peep) i = i + row(w[1], 0) * memory, f = f + row(w[1], 2) * memory;
  i = c.f[0](c.limited(i)), f = c.input_forget ? 1.0 - i : c.f[0](c.limited(f));
  Value next = f * memory + i * c.f[1](c.limited(m));
  if (peep) o = o + row(w[1], 1) * next;
  return {c.f[0](c.limited(o)) * c.f[2](next), next};
}

// The states of a row that has ended stay; its outputs are 0.
void keep_ended(Values &next, const Values &state, Value alive, Value &out) {
  if (!alive) return;
  Value live = expand(reshape(alive, {alive.shape()[0], 1}), out.shape());
  for (size_t k = 0; k < next.size(); ++k) next[k] = select(live, next[k], state[k]);
  out = select(live, out, 0);
}

struct Pass {
  Value y; ///< [T, B, H]
  Values state;
};

// All steps over x [T, B, gates H]; `alive` [T, B], or null.
Pass run(const Cell &c, const std::string &op, Value x, Value alive, Values state, const Values &w) {
  int64_t steps = x.shape()[0];
  auto at = [](Value v, int64_t t) {
    Shape rest(v.shape().begin() + 1, v.shape().end());
    return reshape(narrow(v, 0, t, t + 1), rest);
  };
  if (steps <= kMostUnrolled) {
    Values ys;
    for (int64_t t = 0; t < steps; ++t) {
      Values next = step(c, op, state, at(x, t), w);
      Value y = next[0];
      keep_ended(next, state, alive ? at(alive, t) : Value{}, y);
      state = next, ys.push_back(y);
    }
    return {stack(ys, 0), state};
  }
  auto body = std::make_shared<Graph>("step");
  body->location = x.graph().location;
  int number = 0;
  auto input = [&](Value like, bool sliced) {
    Type t = like.type();
    if (sliced) t.shape.erase(t.shape.begin());
    return body->input(fmt::format("v{}", number++), t);
  };
  Values operands = state, carried, rest;
  for (Value v : state) carried.push_back(input(v, false));
  operands.push_back(x);
  Value slice = input(x, true), live;
  if (alive) operands.push_back(alive), live = input(alive, true);
  for (Value v : w) operands.push_back(v), rest.push_back(input(v, false));
  Values next = step(c, op, carried, slice, rest);
  Value y = next[0];
  keep_ended(next, carried, live, y);
  for (size_t k = 0; k < next.size(); ++k) body->outputs.push_back({fmt::format("s{}", k), next[k]});
  body->outputs.push_back({"y", y});
  Attrs a{{Attr::carries, int64_t(state.size())}, {Attr::slices, int64_t(alive ? 2 : 1)}};
  const Node *n = x.graph().node(Op::scan, operands, a, {body});
  Pass out{n->result(uint32_t(state.size())), {}};
  for (uint32_t k = 0; k < state.size(); ++k) out.state.push_back(n->result(k));
  return out;
}

// Row b of x [T, B, ...] reversed over its first length[b] entries.
Value reversed(Value x, Value length) {
  if (!length) return flip(x, {0});
  Shape c(size_t(x.rank()), Dim(1));
  c[1] = x.shape()[1];
  Value n = expand(reshape(length, c), x.shape()), t = iota(x.graph(), {DType::i64, x.shape()}, 0);
  return take_along(x, select(lt(t, n), n - 1 - t, t), 0);
}

} // namespace

static Values recurrent(Step &s) {
  const std::string op = s.node.op_type();
  Value x = s.in(0), w = s.in(1), r = s.in(2);
  s.require(x.rank() == 3 && w.rank() == 3 && r.rank() == 3, "input and weights need rank 3");
  bool batch_first = s.i("layout", 0) != 0;
  if (batch_first) x = permute(x, {1, 0, 2});
  std::string direction = s.s("direction", "forward");
  int64_t directions = direction == "bidirectional" ? 2 : 1, gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
  int64_t hidden = r.shape()[2], steps = x.shape()[0], batch = x.shape()[1], in = x.shape()[2];
  s.require(steps > 0, "the sequence is empty");
  s.require(w.shape()[0].value() == directions && w.shape()[1].value() == gates * hidden &&
                w.shape()[2].value() == in && r.shape()[0].value() == directions &&
                r.shape()[1].value() == gates * hidden,
            fmt::format("weights {} and {} do not fit {}", w.type().str(), r.type().str(), x.type().str()));
  std::vector<std::string> names;
  if (const AttributeProto *a = s.attr("activations"))
    names.assign(a->strings().begin(), a->strings().end());
  else
    for (int64_t d = 0; d < directions; ++d)
      for (const char *n : op == "LSTM"  ? std::vector<const char *>{"Sigmoid", "Tanh", "Tanh"}
                           : op == "GRU" ? std::vector<const char *>{"Sigmoid", "Tanh"}
                                         : std::vector<const char *>{"Tanh"})
        names.push_back(n);
  size_t each = op == "LSTM" ? 3 : op == "GRU" ? 2 : 1;
  s.require(names.size() >= each * size_t(directions), "too few activations");
  Activations activations{s.floats("activation_alpha"), s.floats("activation_beta")};
  Value length = s.has(4) ? cast(s.in(4), DType::i64) : Value{}, alive;
  if (length) {
    Type t{DType::i64, {steps, batch}};
    alive = lt(iota(s.g, t, 0), expand(reshape(length, {1, batch}), t.shape));
  }
  Values ys, states[2];
  for (int64_t d = 0; d < directions; ++d) {
    auto part = [&](Value v) { // of direction d, without that axis
      Shape rest(v.shape().begin() + 1, v.shape().end());
      return reshape(narrow(v, 0, d, d + 1), rest);
    };
    Cell c{gates, hidden, {}, s.f("clip", 0), s.i("input_forget", 0) != 0, s.i("linear_before_reset", 0) != 0};
    for (size_t k = 0; k < each; ++k) c.f.push_back(activations.next(s, names[size_t(d) * each + k]));
    bool back = d == 1 || direction == "reverse";
    Value xs = back ? reversed(x, length) : x;
    Value xw = dot(reshape(xs, {steps * batch, in}), transpose(part(w)));
    Value rb;
    if (s.has(3)) {
      Value b = part(s.in(3));
      s.require(b.type().size() == 2 * gates * hidden, fmt::format("the bias is {}", s.in(3).type().str()));
      Value wb = narrow(b, 0, 0, gates * hidden);
      rb = narrow(b, 0, gates * hidden, 2 * gates * hidden);
      if (op == "GRU") { // the hidden gate's recurrent bias stays apart
        Value zr = narrow(rb, 0, 0, 2 * hidden);
        wb = concat({narrow(wb, 0, 0, 2 * hidden) + zr, narrow(wb, 0, 2 * hidden, 3 * hidden)}, 0);
        rb = narrow(rb, 0, 2 * hidden, 3 * hidden);
      } else
        wb = wb + rb;
      xw = xw + wb;
    }
    Values weights{transpose(part(r))};
    if (op == "GRU") weights.push_back(rb ? rb : s.g.splat({x.dtype(), {hidden}}, 0));
    if (op == "LSTM" && s.has(7)) weights.push_back(part(s.in(7)));
    auto initial = [&](int k) {
      if (!s.has(k)) return s.g.splat({x.dtype(), {batch, hidden}}, 0);
      return part(batch_first ? permute(s.in(k), {1, 0, 2}) : s.in(k));
    };
    Values state{initial(5)};
    if (op == "LSTM") state.push_back(initial(6));
    Pass p = run(c, op, reshape(xw, {steps, batch, gates * hidden}), alive, state, weights);
    ys.push_back(back ? reversed(p.y, length) : p.y);
    for (size_t k = 0; k < p.state.size(); ++k) states[k].push_back(p.state[k]);
  }
  Value y = stack(ys, 1), h = stack(states[0], 0), memory = op == "LSTM" ? stack(states[1], 0) : Value{};
  if (batch_first) {
    y = permute(y, {2, 0, 1, 3}), h = permute(h, {1, 0, 2});
    if (memory) memory = permute(memory, {1, 0, 2});
  }
  return memory ? Values{y, h, memory} : Values{y, h};
}

void add_recurrent(Recipes &r) { r.on({"LSTM", "GRU", "RNN"}, 1, recurrent); }

} // namespace trellis::onnx
