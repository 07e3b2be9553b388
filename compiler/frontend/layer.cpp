#include "compiler/frontend/layer.h"
#include <cctype>
#include <fmt/format.h>

namespace trellis::nn {

static Location location_of(const std::source_location &at) {
  return {std::make_shared<const std::string>(at.file_name()), int(at.line()), 0, ""};
}

Layer::Layer(std::string kind, Emit emit, std::source_location at)
    : impl_(std::make_shared<const Impl>(
          Impl{std::move(kind), location_of(at), std::move(emit), {}, {}, Impl::Naming::nested})) {}

Layer Layer::combine(std::string kind, std::vector<Layer> children, Join join, Impl::Naming naming) {
  if (children.empty()) throw CompileError(fmt::format("{}: no layers are given", kind));
  Location at = children[0].impl_->at;
  return Layer(std::make_shared<const Impl>(
      Impl{std::move(kind), std::move(at), {}, std::move(children), std::move(join), naming}));
}

Layer Layer::named(std::string name) const {
  if (name.empty() || name.find('.') != name.npos)
    throw CompileError(
        impl_->at,
        fmt::format("{}: '{}' is no name for a layer: give one that is not empty and has no '.'", impl_->kind, name));
  Layer copy = *this;
  copy.name_ = std::move(name);
  return copy;
}

const std::string &Layer::kind() const { return impl_->kind; }

static Value build_chain(Build &b, const std::vector<Layer> &layers, Value x) {
  for (const Layer &l : layers) x = l(b, x);
  return x;
}

Layer operator>>(const Layer &a, const Layer &b) {
  std::vector<Layer> all;
  for (const Layer *l : {&a, &b}) {
    if (l->impl_->naming == Layer::Impl::Naming::open && l->name_.empty())
      all.insert(all.end(), l->impl_->children.begin(), l->impl_->children.end());
    else
      all.push_back(*l);
  }
  return Layer::combine("Chain", std::move(all), build_chain, Layer::Impl::Naming::open);
}
Layer sequential(const std::vector<Layer> &layers) { return Layer::combine("Chain", layers, build_chain); }

Layer operator+(const Layer &a, const Layer &b) {
  return Layer::combine("Sum", {a, b}, [](Build &build, const std::vector<Layer> &l, Value x) {
    Value y = l[0](build, x), z = l[1](build, x);
    build.require(y.type() == z.type(), fmt::format("branches give {} and {}", y.type().str(), z.type().str()));
    return y + z;
  });
}

Layer concatenate(const std::vector<Layer> &layers, int64_t axis) {
  return Layer::combine("Concatenate", layers, [axis](Build &build, const std::vector<Layer> &l, Value x) {
    Values all;
    for (const Layer &branch : l) all.push_back(branch(build, x));
    return concat(all, axis);
  });
}

Layer residual(const Layer &inner) {
  auto join = [](Build &build, const std::vector<Layer> &l, Value x) {
    Value y = l[0](build, x);
    build.require(y.type() == x.type(),
                  fmt::format("the inner layer makes {} of {}: it must keep the type", y.type().str(), x.type().str()));
    return x + y;
  };
  return Layer::combine("Residual", {inner}, join, Layer::Impl::Naming::absent);
}

Layer Layer::fresh(Copies &copies) const {
  std::shared_ptr<const Impl> &copy = copies[impl_.get()];
  if (!copy) {
    Impl made = *impl_;
    for (Layer &child : made.children) child = child.fresh(copies);
    copy = std::make_shared<const Impl>(std::move(made));
  }
  Layer out(copy);
  out.name_ = name_;
  return out;
}

Layer clone(const Layer &layer, int count) {
  if (count < 1) throw CompileError(layer.impl_->at, fmt::format("clone: {} copies: give 1 or more", count));
  std::vector<Layer> all;
  for (int i = 0; i < count; ++i) {
    Layer::Copies copies;
    all.push_back(layer.fresh(copies));
    if (count > 1) all.back().name_.clear();
  }
  return count == 1 ? all[0] : sequential(all);
}

// Roots are called by the user: a leaf is named by its kind, a combination is the model itself and has no
// name.
std::string Build::enter(const Layer &layer) {
  if (position_ == kInherit && layer.name_.empty()) return path_;
  if (position_ != kRoot) {
    std::string own = layer.name_.empty() ? std::to_string(position_) : layer.name_;
    return path_.empty() ? own : path_ + "." + own;
  }
  if (!layer.name_.empty()) return layer.name_;
  std::string base;
  if (layer.impl_->children.empty())
    for (char c : layer.impl_->kind) base += char(std::tolower(static_cast<unsigned char>(c)));
  std::string path = base;
  for (int i = 1; !roots_.insert(path).second; ++i) path = fmt::format("{}{}", base.empty() ? "model" : base, i);
  return path;
}

Value Layer::operator()(Build &b, Value x) const {
  TRELLIS_CHECK(x && &x.graph() == &b.graph(), "a layer is built on a value of another graph");
  struct Restore {
    Build &b;
    std::string path;
    const Layer *current;
    int position;
    ~Restore() { b.path_ = std::move(path), b.current_ = current, b.position_ = position; }
  } restore{b, b.path_, b.current_, b.position_ < 0 ? b.position_ : b.position_ + 1};
  b.path_ = b.enter(*this);
  b.current_ = this;
  LocationScope at(b.graph(), impl_->at);
  b.position_ = impl_->naming == Impl::Naming::absent ? Build::kInherit : 0;
  return impl_->children.empty() ? impl_->emit(b, x) : impl_->join(b, impl_->children, x);
}

Value Build::input(std::string_view name, Type type, std::string_view role, std::string_view init) {
  TRELLIS_CHECK(current_, "a parameter is asked for outside a layer");
  std::string full = path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
  Value &v = inputs_[{current_->impl_.get(), std::string(name)}];
  if (v) {
    require(v.type() == type, fmt::format("it is shared, but its parameter '{}' is {} for one use and {} for another",
                                          graph_.name_of(v), v.type().str(), type.str()));
    return v;
  }
  if (graph_.find_input(full)) fail(fmt::format("'{}' is taken: two different layers have the name '{}'", full, path_));
  return v = graph_.input(full, std::move(type), role, init);
}

Value Build::shared_state(std::string_view name, Type type, std::string_view init) {
  Value v = graph_.find_input(name);
  return v ? v : graph_.input(name, std::move(type), "state", init);
}

void Build::fail(const std::string &text) const {
  Location at = current_ ? current_->impl_->at : Location{};
  throw CompileError(at, current_ ? fmt::format("{}: {}", current_->impl_->kind, text) : text);
}

std::unique_ptr<Graph> build_graph(const Layer &model, Type input, std::string_view name) {
  auto g = std::make_unique<Graph>(std::string(name));
  Value x = g->input("x", input);
  Build b(*g, is_float(input.dtype) ? input.dtype : DType::f32);
  g->outputs.push_back({"y", model(b, x)});
  return g;
}

} // namespace trellis::nn
