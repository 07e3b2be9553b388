#include "ir/attr.h"
#include "ir/diag.h"
#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>

namespace trellis {

namespace {
struct AttrRow {
  std::string_view name;
  AttrKind kind;
  std::string_view doc;
};
constexpr AttrRow kRows[] = {
#define ATTR(name, kind, doc) {#name, AttrKind::kind, doc},
#include "ir/attrs.def"
};
} // namespace

std::string_view name(Attr a) { return kRows[size_t(a)].name; }
AttrKind kind_of(Attr a) { return kRows[size_t(a)].kind; }
std::string_view doc_of(Attr a) { return kRows[size_t(a)].doc; }

std::optional<Attr> parse_attr(std::string_view text) {
  for (size_t i = 0; i < std::size(kRows); ++i)
    if (kRows[i].name == text) return Attr(i);
  return std::nullopt;
}

void Attrs::set(Attr a, AttrValue v) {
  auto it = std::lower_bound(all_.begin(), all_.end(), a, [](const auto &p, Attr x) { return p.first < x; });
  if (it != all_.end() && it->first == a)
    it->second = std::move(v);
  else
    all_.emplace(it, a, std::move(v));
}

void Attrs::erase(Attr a) {
  std::erase_if(all_, [&](const auto &p) { return p.first == a; });
}

const AttrValue *Attrs::find(Attr a) const {
  for (const auto &[k, v] : all_)
    if (k == a) return &v;
  return nullptr;
}

const AttrValue &Attrs::at(Attr a) const {
  const AttrValue *v = find(a);
  TRELLIS_CHECK(v, fmt::format("attribute '{}' is missing", trellis::name(a)));
  return *v;
}

static void mix(size_t &h, uint64_t x) {
  h = (h ^ x) * 0x9E3779B97F4A7C15ull;
  h ^= h >> 29;
}

// Constants above 64 bytes are the same only if they share storage; small ones are compared by content.
static constexpr int64_t kSmallBytes = 64;

static size_t hash_value(const AttrValue &v) {
  size_t h = v.index();
  std::visit(
      [&]<class T>(const T &x) {
        if constexpr (std::is_same_v<T, double>) {
          uint64_t u;
          std::memcpy(&u, &x, 8);
          mix(h, u);
        } else if constexpr (std::is_same_v<T, std::string>)
          mix(h, std::hash<std::string>{}(x));
        else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
          for (int64_t i : x) mix(h, uint64_t(i));
        else if constexpr (std::is_same_v<T, Shape>)
          for (Dim d : x) mix(h, uint64_t(d.raw()));
        else if constexpr (std::is_same_v<T, Tensor>) {
          mix(h, uint64_t(x.dtype()));
          for (int64_t d : x.dims()) mix(h, uint64_t(d));
          if (x.bytes() <= kSmallBytes)
            for (int64_t i = 0; i < x.bytes(); ++i) mix(h, uint64_t(x.data()[i]));
          else
            mix(h, reinterpret_cast<uintptr_t>(x.data()));
        } else
          mix(h, uint64_t(x));
      },
      v);
  return h;
}

size_t Attrs::hash() const {
  size_t h = all_.size();
  for (const auto &[a, v] : all_) {
    mix(h, uint64_t(a));
    mix(h, hash_value(v));
  }
  return h;
}

static bool equal(const AttrValue &a, const AttrValue &b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&]<class T>(const T &x) {
        const T &y = std::get<T>(b);
        if constexpr (std::is_same_v<T, double>)
          return std::memcmp(&x, &y, 8) == 0;
        else if constexpr (std::is_same_v<T, Shape>)
          return same(x, y);
        else if constexpr (std::is_same_v<T, Tensor>)
          return x.dtype() == y.dtype() && x.dims() == y.dims() &&
                 (x.data() == y.data() ||
                  (x.bytes() <= kSmallBytes && std::memcmp(x.data(), y.data(), size_t(x.bytes())) == 0));
        else
          return x == y;
      },
      a);
}

bool operator==(const Attrs &a, const Attrs &b) {
  if (a.all_.size() != b.all_.size()) return false;
  for (size_t i = 0; i < a.all_.size(); ++i)
    if (a.all_[i].first != b.all_[i].first || !equal(a.all_[i].second, b.all_[i].second)) return false;
  return true;
}

} // namespace trellis
