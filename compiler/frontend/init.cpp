#include "compiler/frontend/init.h"
#include "compiler/frontend/philox.h"
#include "compiler/frontend/spec.h"
#include <cmath>
#include <fmt/format.h>

namespace trellis {

namespace {

struct Fans {
  double in = 0, out = 0;
};

struct Scheme {
  std::string_view name;
  bool normal;                 ///< else uniform in +-spread
  bool needs_out;              ///< uses fan_out, so takes no argument
  double (*spread)(Fans fans); ///< bound of the uniform, deviation of the normal
};
constexpr Scheme kSchemes[] = {
    {"glorot_uniform", false, true, [](Fans f) { return std::sqrt(6 / (f.in + f.out)); }},
    {"glorot_normal", true, true, [](Fans f) { return std::sqrt(2 / (f.in + f.out)); }},
    {"he_uniform", false, false, [](Fans f) { return std::sqrt(6 / f.in); }},
    {"he_normal", true, false, [](Fans f) { return std::sqrt(2 / f.in); }},
    {"fan_in_uniform", false, false, [](Fans f) { return 1 / std::sqrt(f.in); }},
};

} // namespace

static bool fans_of(const Shape &shape, Fans &fans) {
  if (shape.size() < 2) return false;
  double kernel = 1;
  for (size_t i = 2; i < shape.size(); ++i) kernel *= double(shape[i].value());
  double first = double(shape[0].value()) * kernel, second = double(shape[1].value()) * kernel;
  fans = shape.size() == 2 ? Fans{first, second} : Fans{second, first};
  return true;
}

Initialiser parse_init(std::string_view text, const Type &type, const Location &where) {
  auto fail = [&](const std::string &why) {
    throw CompileError(where, fmt::format("initialiser '{}': {}", text, why));
  };
  if (text.empty()) throw CompileError(where, "no initialiser: give e.g. init(he_normal) or init(zero)");
  for (Dim d : type.shape)
    if (!d.is_static()) fail(fmt::format("the shape {} is not fixed", type.str()));
  CallSpec call = parse_call(text, "initialiser", where);
  auto arguments = [&](size_t low, size_t high) {
    if (call.args.size() < low || call.args.size() > high)
      fail(fmt::format("takes {} argument{}, {} given",
                       low == high ? std::to_string(low) : fmt::format("{} or {}", low, high), high == 1 ? "" : "s",
                       call.args.size()));
    for (double v : call.args)
      if (!std::isfinite(v)) fail(fmt::format("{} is not finite", v));
  };
  auto random = [&](Initialiser i) {
    if (!is_float(type.dtype)) fail(fmt::format("random values need a floating-point type, not {}", name(type.dtype)));
    if (i.kind == Initialiser::Kind::normal && i.b < 0) fail("the standard deviation is negative");
    if (i.kind == Initialiser::Kind::uniform && i.a > i.b)
      fail(fmt::format("the range is empty: {} is above {}", i.a, i.b));
    return i;
  };
  using Kind = Initialiser::Kind;
  if (call.name == "zero") return arguments(0, 0), Initialiser{Kind::constant, 0, 0};
  if (call.name == "one") return arguments(0, 0), Initialiser{Kind::constant, 1, 0};
  if (call.name == "constant") return arguments(1, 1), Initialiser{Kind::constant, call.args[0], 0};
  if (call.name == "normal") {
    arguments(1, 2);
    bool mean = call.args.size() == 2;
    return random({Kind::normal, mean ? call.args[0] : 0, call.args.back()});
  }
  if (call.name == "uniform") return arguments(2, 2), random({Kind::uniform, call.args[0], call.args[1]});
  if (call.name == "seed") {
    arguments(0, 0);
    if (!is_integer(type.dtype)) fail(fmt::format("a seed needs an integer type, not {}", name(type.dtype)));
    return {Kind::bits, 0, 0};
  }
  for (const Scheme &s : kSchemes) {
    if (s.name != call.name) continue;
    arguments(0, s.needs_out ? 0 : 1);
    Fans fans;
    if (!call.args.empty()) {
      if (!(call.args[0] > 0)) fail("fan_in must be above 0");
      fans.in = call.args[0];
    } else if (!fans_of(type.shape, fans))
      fail(fmt::format("{} has no fans (rank 2: [in, out]; from rank 3: [out, in, kernel...]){}", type.str(),
                       s.needs_out ? "" : fmt::format("; give fan_in, e.g. {}(400)", s.name)));
    if (!(fans.in > 0) && !(s.needs_out && fans.out > 0)) return random({Kind::constant, 0, 0}); // no elements
    double spread = s.spread(fans);
    return random(s.normal ? Initialiser{Kind::normal, 0, spread} : Initialiser{Kind::uniform, -spread, spread});
  }
  std::vector<std::string_view> known = {"zero", "one", "constant(c)", "normal(std)", "uniform(low, high)", "seed"};
  for (const Scheme &s : kSchemes) known.push_back(s.name);
  fail("unknown: give " + list_words(known));
  return {};
}

Tensor initial_value(std::string_view text, const Type &type, std::string_view name, uint64_t seed,
                     const Location &where) {
  Initialiser init = parse_init(text, type, where);
  Tensor t(type.dtype, dims_of(type.shape));
  RandomStream random(seed, name);
  for (int64_t i = 0; i < t.size(); ++i) switch (init.kind) {
    case Initialiser::Kind::constant:
      if (init.a == 0 && !std::signbit(init.a)) return t;
      t.set(i, init.a);
      break;
    case Initialiser::Kind::normal: t.set(i, init.a + init.b * random.normal(uint64_t(i))); break;
    case Initialiser::Kind::uniform: t.set(i, init.a + (init.b - init.a) * random.uniform(uint64_t(i))); break;
    case Initialiser::Kind::bits: t.set_int(i, int64_t(random.bits(uint64_t(i)))); break;
    }
  return t;
}

} // namespace trellis
