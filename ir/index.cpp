#include "ir/index.h"
#include "ir/diag.h"
#include <algorithm>
#include <numeric>

namespace trellis {

static int64_t floor_div(int64_t a, int64_t k) { return a / k - (a % k < 0); }
static int64_t floor_mod(int64_t a, int64_t k) {
  int64_t r = a % k;
  return r < 0 ? r + k : r;
}

static int compare_atoms(const IndexAtom &a, const IndexAtom &b) {
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.kind == IndexAtom::Kind::var) return a.var.id < b.var.id ? -1 : a.var.id > b.var.id;
  if (a.k != b.k) return a.k < b.k ? -1 : 1;
  return a.arg == b.arg ? 0 : Index::compare(*a.arg, *b.arg);
}

int Index::compare(const Index &a, const Index &b) {
  if (a.terms_.size() != b.terms_.size()) return a.terms_.size() < b.terms_.size() ? -1 : 1;
  for (size_t i = 0; i < a.terms_.size(); ++i) {
    if (int c = compare_atoms(*a.terms_[i].atom, *b.terms_[i].atom)) return c;
    if (a.terms_[i].coef != b.terms_[i].coef) return a.terms_[i].coef < b.terms_[i].coef ? -1 : 1;
  }
  return a.constant_ < b.constant_ ? -1 : a.constant_ > b.constant_;
}
bool operator==(const Index &a, const Index &b) { return Index::compare(a, b) == 0; }

static void atom_range(const IndexAtom &a, int64_t &lo, int64_t &hi) {
  switch (a.kind) {
  case IndexAtom::Kind::var: lo = 0, hi = std::max<int64_t>(a.var.extent - 1, 0); break;
  case IndexAtom::Kind::div: lo = floor_div(a.arg->min(), a.k), hi = floor_div(a.arg->max(), a.k); break;
  case IndexAtom::Kind::mod: lo = 0, hi = a.k - 1; break;
  }
}

int64_t Index::min() const {
  int64_t sum = constant_;
  for (const IndexTerm &t : terms_) {
    int64_t lo, hi;
    atom_range(*t.atom, lo, hi);
    sum += t.coef * (t.coef > 0 ? lo : hi);
  }
  return sum;
}
int64_t Index::max() const {
  int64_t sum = constant_;
  for (const IndexTerm &t : terms_) {
    int64_t lo, hi;
    atom_range(*t.atom, lo, hi);
    sum += t.coef * (t.coef > 0 ? hi : lo);
  }
  return sum;
}

/// Builds canonical linear forms.
class IndexBuilder {
public:
  static Index atom(IndexAtom a) {
    Index out;
    out.terms_.push_back({1, std::make_shared<const IndexAtom>(std::move(a))});
    return out;
  }

  static Index linear(const Index &a, int64_t ka, const Index &b, int64_t kb) {
    Index out(a.constant_ * ka + b.constant_ * kb);
    size_t i = 0, j = 0;
    while (i < a.terms_.size() || j < b.terms_.size()) {
      int c = i == a.terms_.size()   ? 1
              : j == b.terms_.size() ? -1
                                     : compare_atoms(*a.terms_[i].atom, *b.terms_[j].atom);
      int64_t coef = (c <= 0 ? a.terms_[i].coef * ka : 0) + (c >= 0 ? b.terms_[j].coef * kb : 0);
      if (coef) out.terms_.push_back({coef, c <= 0 ? a.terms_[i].atom : b.terms_[j].atom});
      i += c <= 0, j += c >= 0;
    }
    return recombine(std::move(out));
  }

  // k (e / k) + e mod k = e, for any common factor.
  static Index recombine(Index e) {
    for (size_t m = 0; m < e.terms_.size(); ++m) {
      const IndexTerm mod = e.terms_[m];
      if (mod.atom->kind != IndexAtom::Kind::mod) continue;
      Index quotient = *mod.atom->arg / mod.atom->k;
      if (quotient.terms_.size() != 1 || quotient.constant_) continue;
      const IndexTerm want = quotient.terms_[0];
      for (size_t d = 0; d < e.terms_.size(); ++d) {
        if (d == m || compare_atoms(*e.terms_[d].atom, *want.atom) ||
            e.terms_[d].coef != mod.coef * mod.atom->k * want.coef)
          continue;
        Index rest(e.constant_);
        for (size_t t = 0; t < e.terms_.size(); ++t)
          if (t != m && t != d) rest.terms_.push_back(e.terms_[t]);
        return linear(rest, 1, *mod.atom->arg, mod.coef);
      }
    }
    return e;
  }

  // e = k q + r. `truncate`: r's coefficients keep their signs and are below k in size (right for 4 - i); else they
  // lie in [0, k), which is the canonical form where no range settles the division.
  static void split(const Index &e, int64_t k, bool truncate, Index &q, Index &r) {
    q = Index(floor_div(e.constant_, k)), r = Index(floor_mod(e.constant_, k));
    for (const IndexTerm &t : e.terms_) {
      int64_t whole = truncate ? t.coef / k : floor_div(t.coef, k), part = t.coef - whole * k;
      if (whole) q.terms_.push_back({whole, t.atom});
      if (part) r.terms_.push_back({part, t.atom});
    }
  }
  // The quotient that all of r has, if it has one.
  static std::optional<int64_t> settled(const Index &r, int64_t k) {
    int64_t low = floor_div(r.min(), k);
    return low == floor_div(r.max(), k) ? std::optional<int64_t>(low) : std::nullopt;
  }
};

Index::Index(IndexVar v) {
  if (v.extent > 1) *this = IndexBuilder::atom({IndexAtom::Kind::var, v, nullptr, 1});
}

Index operator+(const Index &a, const Index &b) { return IndexBuilder::linear(a, 1, b, 1); }
Index operator*(const Index &a, int64_t k) { return k ? IndexBuilder::linear(a, k, Index(), 0) : Index(); }

static int64_t common_factor(const Index &e) {
  int64_t g = 0;
  for (const IndexTerm &t : e.terms()) g = std::gcd(g, t.coef);
  return g;
}

Index operator/(const Index &a, int64_t k) {
  TRELLIS_CHECK(k > 0, "division of an index by a number that is not positive");
  if (k == 1) return a;
  Index q, r;
  for (bool truncate : {true, false}) {
    IndexBuilder::split(a, k, truncate, q, r);
    if (auto whole = IndexBuilder::settled(r, k)) return q + *whole;
  }
  // (g e + c) / (g k') = (e + c / g) / k', since the remainder of c cannot carry.
  if (int64_t g = std::gcd(common_factor(r), k); g > 1) {
    Index scaled(floor_div(r.constant(), g));
    for (const IndexTerm &t : r.terms()) {
      Index one = IndexBuilder::atom(*t.atom);
      scaled = scaled + one * (t.coef / g);
    }
    return q + scaled / (k / g);
  }
  // (m + e / a) / b = (a m + e) / (a b).
  for (const IndexTerm &t : r.terms())
    if (t.coef == 1 && t.atom->kind == IndexAtom::Kind::div) {
      Index m = r - IndexBuilder::atom(*t.atom);
      return q + (m * t.atom->k + *t.atom->arg) / (t.atom->k * k);
    }
  return q + IndexBuilder::atom({IndexAtom::Kind::div, {}, std::make_shared<const Index>(r), k});
}

Index operator%(const Index &a, int64_t k) {
  TRELLIS_CHECK(k > 0, "remainder of an index by a number that is not positive");
  if (k == 1) return 0;
  Index q, r;
  for (bool truncate : {true, false}) {
    IndexBuilder::split(a, k, truncate, q, r);
    if (auto whole = IndexBuilder::settled(r, k)) return r + -*whole * k;
  }
  // (g e + c) mod (g k') = g ((e + c / g) mod k') + c mod g.
  if (int64_t g = std::gcd(common_factor(r), k); g > 1) {
    Index scaled(floor_div(r.constant(), g));
    for (const IndexTerm &t : r.terms()) scaled = scaled + IndexBuilder::atom(*t.atom) * (t.coef / g);
    return (scaled % (k / g)) * g + floor_mod(r.constant(), g);
  }
  // (e mod (k m)) mod k = e mod k.
  if (r.constant() == 0 && r.terms().size() == 1 && r.terms()[0].coef == 1 &&
      r.terms()[0].atom->kind == IndexAtom::Kind::mod && r.terms()[0].atom->k % k == 0)
    return *r.terms()[0].atom->arg % k;
  return IndexBuilder::atom({IndexAtom::Kind::mod, {}, std::make_shared<const Index>(r), k});
}

bool Index::uses(int id) const {
  for (const IndexTerm &t : terms_)
    if (t.atom->kind == IndexAtom::Kind::var ? t.atom->var.id == id : t.atom->arg->uses(id)) return true;
  return false;
}

static void collect(const Index &e, std::vector<IndexVar> &out) {
  for (const IndexTerm &t : e.terms())
    if (t.atom->kind != IndexAtom::Kind::var)
      collect(*t.atom->arg, out);
    else if (std::none_of(out.begin(), out.end(), [&](IndexVar v) { return v.id == t.atom->var.id; }))
      out.push_back(t.atom->var);
}
std::vector<IndexVar> Index::vars() const {
  std::vector<IndexVar> out;
  collect(*this, out);
  return out;
}

std::optional<int64_t> Index::coefficient(int id) const {
  int64_t coef = 0;
  for (const IndexTerm &t : terms_)
    if (t.atom->kind == IndexAtom::Kind::var)
      coef += t.atom->var.id == id ? t.coef : 0;
    else if (t.atom->arg->uses(id))
      return std::nullopt;
  return coef;
}

Index Index::substitute(const std::function<std::optional<Index>(IndexVar)> &map) const {
  Index out(constant_);
  for (const IndexTerm &t : terms_) {
    const IndexAtom &a = *t.atom;
    Index e;
    if (a.kind == IndexAtom::Kind::var) {
      std::optional<Index> s = map(a.var);
      e = s ? *s : Index(a.var);
    } else {
      Index arg = a.arg->substitute(map);
      e = a.kind == IndexAtom::Kind::div ? arg / a.k : arg % a.k;
    }
    out = out + e * t.coef;
  }
  return out;
}

int64_t Index::evaluate(const std::function<int64_t(int)> &value) const {
  int64_t sum = constant_;
  for (const IndexTerm &t : terms_) {
    const IndexAtom &a = *t.atom;
    int64_t v = a.kind == IndexAtom::Kind::var   ? value(a.var.id)
                : a.kind == IndexAtom::Kind::div ? floor_div(a.arg->evaluate(value), a.k)
                                                 : floor_mod(a.arg->evaluate(value), a.k);
    sum += t.coef * v;
  }
  return sum;
}

std::string Index::str(const std::function<std::string(int)> &name) const {
  std::string out;
  for (const IndexTerm &t : terms_) {
    const IndexAtom &a = *t.atom;
    int64_t c = t.coef;
    if (!out.empty()) {
      out += c < 0 ? " - " : " + ";
      c = std::abs(c);
    }
    if (c == -1)
      out += "-";
    else if (c != 1)
      out += std::to_string(c) + " ";
    if (a.kind == IndexAtom::Kind::var)
      out += name(a.var.id);
    else
      out += "(" + a.arg->str(name) + ")" + (a.kind == IndexAtom::Kind::div ? "/" : "%") + std::to_string(a.k);
  }
  if (out.empty()) return std::to_string(constant_);
  if (constant_) out += (constant_ < 0 ? " - " : " + ") + std::to_string(std::abs(constant_));
  return out;
}

Index linearize(const std::vector<Index> &index, const std::vector<int64_t> &dims) {
  Index offset;
  for (size_t i = 0; i < dims.size(); ++i) offset = offset * dims[i] + index[i];
  return offset;
}

std::vector<Index> delinearize(const Index &offset, const std::vector<int64_t> &dims) {
  std::vector<Index> out(dims.size());
  Index rest = offset;
  for (size_t i = dims.size(); i-- > 0;) {
    int64_t d = std::max<int64_t>(dims[i], 1);
    out[i] = i == 0 ? rest : rest % d;
    rest = rest / d;
  }
  return out;
}

} // namespace trellis
