// Attributes of nodes. An attribute's name fixes its type, for every op (attrs.def).
#pragma once
#include "ir/tensor.h"
#include <optional>
#include <utility>
#include <variant>

namespace trellis {

enum class AttrKind : uint8_t { integer, real, boolean, word, text, ints, shape, dtype, tensor };

enum class Attr : uint8_t {
#define ATTR(name, kind, doc) name,
#include "ir/attrs.def"
};
inline constexpr int kAttrCount = 0
#define ATTR(name, kind, doc) +1
#include "ir/attrs.def"
    ;
std::string_view name(Attr a);
AttrKind kind_of(Attr a);
std::string_view doc_of(Attr a);
std::optional<Attr> parse_attr(std::string_view text);

/// word and text are both strings; a word is printed bare, a text in quotes.
using AttrValue = std::variant<int64_t, double, bool, std::string, std::vector<int64_t>, Shape, DType, Tensor>;

/// A small map from Attr to value, in the order of attrs.def. Canonical form: an attribute that equals its default
/// is absent, so that equal nodes intern to one.
class Attrs {
public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<Attr, AttrValue>> all) {
    for (auto &[a, v] : all) set(a, v);
  }
  bool has(Attr a) const { return find(a) != nullptr; }
  void set(Attr a, AttrValue v);
  void erase(Attr a);
  /// The value; absent or of another type is an internal error.
  template <class T> const T &get(Attr a) const { return std::get<T>(at(a)); }
  template <class T> T get_or(Attr a, T otherwise) const {
    const AttrValue *v = find(a);
    return v ? std::get<T>(*v) : otherwise;
  }
  int64_t i(Attr a) const { return get<int64_t>(a); }
  int64_t i_or(Attr a, int64_t d) const { return get_or<int64_t>(a, d); }
  bool flag(Attr a) const { return get_or<bool>(a, false); }
  const std::vector<int64_t> &ints(Attr a) const { return get<std::vector<int64_t>>(a); }
  const std::string &word(Attr a) const { return get<std::string>(a); }
  const std::vector<std::pair<Attr, AttrValue>> &all() const { return all_; }
  size_t hash() const;
  friend bool operator==(const Attrs &a, const Attrs &b);

private:
  const AttrValue *find(Attr a) const;
  const AttrValue &at(Attr a) const;
  std::vector<std::pair<Attr, AttrValue>> all_; // sorted by Attr
};

} // namespace trellis
