// Loop and Scan. Where the number of iterations is known and nothing ends it early, a loop is a scan; else a loop that
// tests its condition. A body that can not be read for all iterations at once (its values change their shapes, sequences
// are carried, or an iteration's number decides a shape) is unrolled.
#include "compiler/onnx/bodies.h"
#include "compiler/onnx/importer.h"
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

constexpr int64_t kShort = 4; // trips that are unrolled for what their numbers make known
constexpr int64_t kMostUnrolled = 1 << 12;

const GraphProto &body_of(Step &s) {
  const AttributeProto *a = s.attr("body");
  s.require(a && a->has_g(), "attribute 'body' is missing");
  return a->g();
}

Value scalar_of(Step &s, Value v, DType t, const char *what) {
  s.require(v.dtype() == t && v.type().size() == 1,
            fmt::format("{} is {}, but must be one {}", what, v.type().str(), name(t)));
  return reshape(v, {});
}

struct Loop {
  Step &s;
  const GraphProto &body;
  std::optional<int64_t> trips; ///< where known
  Value limit;                  ///< where it is not; null: no limit
  Value go;                     ///< the first condition
  Entries carried;
  size_t scans = 0;

  Graph &g() { return s.g; }

  // An argument as the body declares it: a scalar or a vector of one.
  Value argument(int i, Value v) {
    const TypeProto &t = body.input(i).type();
    bool one = t.value_case() == TypeProto::kTensorType && t.tensor_type().has_shape() &&
               t.tensor_type().shape().dim_size() == 1;
    return one ? reshape(v, {1}) : v;
  }
  // The body runs only where the condition holds.
  Entries iteration(Value number, const Entries &state) {
    Entries given{{argument(0, number)}, {argument(1, g().constant(Tensor::scalar_int(DType::boolean, 1)))}};
    given.insert(given.end(), state.begin(), state.end());
    Entries out = s.importer.run_body(body, given);
    out[0].value = scalar_of(s, tensor(out[0]), DType::boolean, "the body's condition");
    for (size_t k = 1 + state.size(); k < out.size(); ++k) tensor(out[k]);
    return out;
  }
  Value tensor(const Entry &e) {
    s.require(bool(e.value), "the body gives something else than a tensor where it must give one");
    s.require(!e.count, "the body gives a tensor whose number of elements depends on data");
    return e.value;
  }
  bool holds(Value v) {
    std::optional<Tensor> t = s.importer.known(v);
    s.require(t.has_value(), "the loop's condition depends on data");
    return t->get_int(0) != 0;
  }

  void unroll() {
    s.require(!limit, "the loop's number of iterations depends on data");
    Entries state = carried;
    std::vector<Values> stacked(scans);
    Value go_on = go;
    int64_t t = 0;
    for (; t < trips.value_or(INT64_MAX) && holds(go_on); ++t) {
      s.require(t < kMostUnrolled, fmt::format("the loop would be unrolled more than {} times", kMostUnrolled));
      Entries out = iteration(g().constant(Tensor::scalar_int(DType::i64, t)), state);
      go_on = out[0].value;
      state.assign(out.begin() + 1, out.begin() + 1 + std::ptrdiff_t(carried.size()));
      for (size_t k = 0; k < scans; ++k) stacked[k].push_back(out[1 + carried.size() + k].value);
    }
    if (scans && t == 0) { // the body tells the types
      Entries out = iteration(g().constant(Tensor::scalar_int(DType::i64, 0)), state);
      for (size_t k = 0; k < scans; ++k) {
        Type type = out[1 + carried.size() + k].value.type();
        type.shape.insert(type.shape.begin(), Dim(0));
        give(carried.size() + k, {g().splat(type, 0)});
      }
    } else
      for (size_t k = 0; k < scans; ++k) give(carried.size() + k, {stack(stacked[k], 0)});
    for (size_t k = 0; k < carried.size(); ++k) give(k, state[k]);
  }

  void roll() {
    Values arguments{s.importer.placeholder({DType::i64, {}})}, first;
    Entries state;
    for (const Entry &e : carried) {
      s.require(bool(e.value),
                "a sequence is carried, and the loop's number of iterations or condition depends on data");
      arguments.push_back(s.importer.placeholder(e.value.type()));
      state.push_back({arguments.back()}), first.push_back(e.value);
    }
    Entries out = [&] {
      Importer::Rolled rolled(s.importer, arguments[0]);
      return iteration(arguments[0], state);
    }();
    Values next, rows;
    for (size_t k = 1; k < out.size(); ++k) (k <= carried.size() ? next : rows).push_back(tensor(out[k]));
    for (size_t k = 0; k < first.size(); ++k)
      s.require(next[k].type() == first[k].type(), fmt::format("carried value {} is {} at first, but the body gives {}",
                                                               k + 1, first[k].type().str(), next[k].type().str()));
    std::optional<Tensor> begins = s.importer.known(go), stays = s.importer.known(out[0].value);
    bool fixed = trips && begins && begins->get_int(0) && stays && stays->get_int(0);
    if (!trips && !limit && stays && stays->get_int(0)) s.fail("the loop never ends");
    // A scan takes a tensor of the iterations' numbers.
    constexpr int64_t kMany = 1 << 20;
    if (!fixed || (rows.empty() && *trips > kMany)) return as_loop(arguments, first, out[0].value, next, rows);
    Values results = as_scan(arguments, first, next, rows);
    for (size_t k = 0; k < results.size(); ++k) give(k, {results[k]});
  }

private:
  void give(size_t k, Entry e) { s.importer.give(int(k), std::move(e)); }

  Values as_scan(const Values &arguments, const Values &first, const Values &next, const Values &rows) {
    if (next.empty() && rows.empty()) return {};
    s.require(*trips <= INT32_MAX, fmt::format("the loop has {} iterations", *trips));
    Values order(arguments.begin() + 1, arguments.end()), results = next; // the number is sliced, so comes last
    order.push_back(arguments[0]);
    results.insert(results.end(), rows.begin(), rows.end());
    return close_scan(first, {iota(g(), {DType::i64, {*trips}}, 0)}, order, results);
  }

  // Carried: the number of the iteration, the condition, the values, and tensors for as many rows as there may be, of which
  // iterations write theirs.
  void as_loop(const Values &arguments, Values first, Value go_on, const Values &next, const Values &rows) {
    s.require(rows.empty() || trips,
              "its rows are as many as its iterations, for whose number there is no limit that is known at import");
    Values order{arguments[0], s.importer.placeholder({DType::boolean, {}})}, results{arguments[0] + 1, go_on};
    order.insert(order.end(), arguments.begin() + 1, arguments.end());
    results.insert(results.end(), next.begin(), next.end());
    for (Value row : rows) {
      Type one = row.type(), all = one;
      one.shape.insert(one.shape.begin(), Dim(1));
      constexpr int64_t kMost = int64_t(1) << 28;
      s.require(*trips <= kMost / std::max<int64_t>(row.type().size(), 1),
                fmt::format("rows of {} from as many as {} iterations", row.type().str(), *trips));
      all.shape.insert(all.shape.begin(), Dim(*trips));
      Value held = s.importer.placeholder(all);
      order.push_back(held), first.push_back(g().splat(all, 0));
      results.push_back(scatter(held, reshape(arguments[0], {1}), reshape(row, one.shape), 0, "set"));
    }
    Values operands{g().constant(Tensor::scalar_int(DType::i64, 0)), go};
    operands.insert(operands.end(), first.begin(), first.end());
    Closed step = close_over(order, results, UINT32_MAX);
    Attrs a{{Attr::carries, int64_t(operands.size())}};
    if (trips) a.set(Attr::trips, *trips);
    operands.insert(operands.end(), step.captured.begin(), step.captured.end());
    // Both bodies take all operands.
    auto test = std::make_shared<Graph>("test");
    test->location = g().location;
    if (limit) operands.push_back(limit), step.body->input("limit", limit.type());
    for (Value o : operands) test->input(fmt::format("x{}", test->inputs().size()), o.type());
    Value goes = test->inputs()[1];
    if (limit) goes = bit_and(goes, lt(test->inputs()[0], test->inputs().back()));
    test->outputs.push_back({"go", goes});
    const Node *n = g().node(Op::loop, operands, a, {test, step.body});
    for (size_t k = 0; k < first.size(); ++k) {
      Entry e{n->result(uint32_t(k) + 2)};
      if (k >= carried.size()) e.count = {0, n->result(0)};
      give(k, std::move(e));
    }
  }
};

Values loop(Step &s) {
  Loop l{s, body_of(s), {}, {}, {}, {}};
  s.require(l.body.input_size() >= 2 && l.body.output_size() >= 1,
            "the body takes an iteration's number and a condition, and gives a condition");
  Value number = s.has(0) ? scalar_of(s, s.in(0), DType::i64, "the number of iterations") : Value{};
  l.go = s.has(1) ? scalar_of(s, s.in(1), DType::boolean, "the condition")
                  : s.g.constant(Tensor::scalar_int(DType::boolean, 1));
  for (int i = 2; i < s.node.input_size(); ++i)
    l.carried.push_back(s.has(i) ? Entry{s.in(i)} : *s.importer.entry(s.node.input(i)));
  int carried = int(l.carried.size());
  s.require(l.body.input_size() == 2 + carried,
            fmt::format("{} values are carried, but the body takes {}", carried, l.body.input_size() - 2));
  s.require(l.body.output_size() >= 1 + carried,
            fmt::format("{} values are carried, but the body gives {}", carried, l.body.output_size() - 1));
  l.scans = size_t(l.body.output_size() - 1 - carried);
  bool sequences = false;
  for (const Entry &e : l.carried) sequences |= !e.value;
  // A given input need not be built in where nothing but the number of iterations depends on it.
  if (number && !l.scans && !sequences && s.importer.is_given(number)) {
    l.limit = number;
    if (s.importer.attempt([&] { l.roll(); }).empty()) return {};
    l.limit = {};
  }
  if (number) {
    if (std::optional<Tensor> t = s.importer.known(number))
      l.trips = std::max<int64_t>(t->get_int(0), 0);
    else
      l.limit = number;
  }
  bool unroll_first = sequences || l.trips.value_or(INT64_MAX) <= kShort;
  std::vector<Diagnostic> why;
  for (bool unrolled : {unroll_first, !unroll_first}) {
    std::vector<Diagnostic> report = s.importer.attempt([&] { unrolled ? l.unroll() : l.roll(); });
    if (report.empty()) return {};
    if (!unrolled || sequences) why = report;
  }
  throw CompileError(why);
}

// --- Scan ---

Value move_axis(Value x, int64_t from, int64_t to) {
  Ints perm;
  for (int64_t k = 0; k < x.rank(); ++k)
    if (k != from) perm.push_back(k);
  perm.insert(perm.begin() + to, from);
  return permute(x, perm);
}

struct Scans {
  Ints in_axes, in_back, out_axes, out_back; ///< empty: axis 0, forward
  static int64_t at(const Ints &all, size_t k) { return k < all.size() ? all[k] : 0; }
};

// States, then the inputs to scan; the final states, then the stacked results.
Values scanned(Step &s, const GraphProto &body, const Values &given, size_t states, const Scans &o) {
  Values sliced;
  for (size_t k = states; k < given.size(); ++k) {
    Value x = given[k];
    s.require(x.rank() >= 1, fmt::format("operand {} has no axis to scan", k + 1));
    x = move_axis(x, s.axis(Scans::at(o.in_axes, k - states), x.rank()), 0);
    sliced.push_back(Scans::at(o.in_back, k - states) ? flip(x, {0}) : x);
  }
  Values carried(given.begin(), given.begin() + std::ptrdiff_t(states)), out;
  Values results = onnx::scan(s.importer, carried, sliced, [&](const Values &state, const Values &parts) {
    Values all = state;
    all.insert(all.end(), parts.begin(), parts.end());
    Values y = s.importer.run_body(body, all);
    s.require(y.size() >= states && !y.empty(), "the body gives fewer values than there are states");
    return y;
  });
  for (size_t k = 0; k < results.size(); ++k) {
    Value y = results[k];
    if (k >= states) {
      if (Scans::at(o.out_back, k - states)) y = flip(y, {0});
      y = move_axis(y, 0, s.axis(Scans::at(o.out_axes, k - states), y.rank()));
    }
    out.push_back(y);
  }
  return out;
}

size_t states_of(Step &s, int operands) {
  int64_t scans = s.need_i("num_scan_inputs");
  s.require(scans >= 1 && scans <= operands, fmt::format("'num_scan_inputs' is {}, of {} operands", scans, operands));
  return size_t(operands - scans);
}

Values scan_of(Step &s) {
  Scans o{s.ints("scan_input_axes"), s.ints("scan_input_directions"), s.ints("scan_output_axes"),
          s.ints("scan_output_directions")};
  return scanned(s, body_of(s), s.all(), states_of(s, s.inputs()), o);
}

// Opset 8: every operand has a batch axis in front, and each sequence its own length.
Values scan_of_batch(Step &s) {
  Values all;
  for (int i = 1; i < s.inputs(); ++i) all.push_back(s.in(i));
  size_t states = states_of(s, int(all.size()));
  int64_t batch = all[0].rank() ? all[0].shape()[0].value() : 0;
  s.require(batch > 0, "the batch is empty");
  std::vector<Values> results;
  s.require(batch <= kMostUnrolled, fmt::format("the batch would be unrolled more than {} times", kMostUnrolled));
  s.require(!s.has(0) || int64_t(s.known_ints(0).size()) == batch, "each sequence of the batch needs a length");
  for (int64_t b = 0; b < batch; ++b) {
    Values given;
    for (Value x : all) {
      s.require(x.rank() >= 1 && x.shape()[0].value() == batch, "the operands differ in their batch");
      Value one = narrow(x, 0, b, b + 1);
      one = reshape(one, Shape(one.shape().begin() + 1, one.shape().end()));
      given.push_back(one);
    }
    int64_t whole = given[states].rank() ? given[states].shape()[0].value() : 0,
            length = s.has(0) ? s.known_ints(0).at(size_t(b)) : whole;
    s.require(length >= 0 && length <= whole, fmt::format("a sequence of {} in an axis of {}", length, whole));
    for (size_t k = states; k < given.size(); ++k) {
      s.require(given[k].rank() && given[k].shape()[0].value() == whole, "the sequences differ in their length");
      given[k] = narrow(given[k], 0, 0, length);
    }
    Values y = scanned(s, body_of(s), given, states, {{}, s.ints("directions"), {}, {}});
    for (size_t k = 0; k < y.size(); ++k) {
      if (k >= states) {
        Ints none(size_t(y[k].rank()), 0), rest = none;
        rest[0] = whole - length;
        y[k] = pad(y[k], none, rest);
      }
      if (results.size() <= k) results.emplace_back();
      results[k].push_back(y[k]);
    }
  }
  Values out;
  for (Values &rows : results) out.push_back(stack(rows, 0));
  return out;
}

} // namespace

void add_loops(Recipes &r) { r.on("Loop", 1, loop), r.on("Scan", 8, scan_of_batch), r.on("Scan", 9, scan_of); }

} // namespace trellis::onnx
