// Tree ensembles of ai.onnx.ml. All trees are one table: from a node, by how its feature compares with its number (less,
// equal, greater, not a number), to the next node. Samples and trees walk it side by side, a gather a level; leaves lead to
// themselves. Leaves stand first, so that the place where a walk ends is the row of the leaf's weights.
#include "compiler/onnx/classic.h"
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <set>

namespace trellis::onnx {

namespace {

constexpr int64_t kMostUnrolled = 32; // levels
constexpr int64_t kMost = int64_t(1) << 27;

struct Weight {
  int64_t target;
  double value;
};
enum Outcome { less, equal, greater, nan };
struct Node {
  int64_t feature = 0;
  double number = 0;
  int64_t next[4] = {}; ///< by Outcome; of a leaf: itself
  bool leaf = false;
  std::vector<Weight> weights;
};

struct Forest {
  std::vector<Node> nodes;
  Ints roots;
  int64_t depth = 0, leaves = 0;

  /// Leaves first; nodes that no root reaches go. Throws where the links are no trees.
  void arrange(const Step &s) {
    Ints state(nodes.size(), 0), order, level(nodes.size(), 0); // 0: not seen, 1: on the way, 2: done
    std::vector<std::pair<int64_t, int>> stack;
    for (int64_t root : roots) {
      if (state[size_t(root)] == 0) stack.push_back({root, 0}), state[size_t(root)] = 1;
      while (!stack.empty()) {
        auto [n, k] = stack.back();
        Node &node = nodes[size_t(n)];
        if (node.leaf || k == 4) {
          if (!node.leaf)
            for (int64_t c : node.next) level[size_t(n)] = std::max(level[size_t(n)], level[size_t(c)] + 1);
          state[size_t(n)] = 2, order.push_back(n), stack.pop_back();
          continue;
        }
        ++stack.back().second;
        int64_t child = node.next[k];
        s.require(state[size_t(child)] != 1, "the nodes of a tree form a circle");
        if (state[size_t(child)] == 0) state[size_t(child)] = 1, stack.push_back({child, 0});
      }
      depth = std::max(depth, level[size_t(root)]);
    }
    std::stable_partition(order.begin(), order.end(), [&](int64_t n) { return nodes[size_t(n)].leaf; });
    Ints place(nodes.size(), 0);
    for (size_t k = 0; k < order.size(); ++k) place[size_t(order[k])] = int64_t(k);
    std::vector<Node> sorted;
    for (int64_t n : order) {
      sorted.push_back(std::move(nodes[size_t(n)]));
      Node &node = sorted.back();
      leaves += node.leaf;
      for (int64_t &c : node.next) c = node.leaf ? int64_t(sorted.size()) - 1 : place[size_t(c)];
    }
    nodes = std::move(sorted);
    for (int64_t &r : roots) r = place[size_t(r)];
  }
};

// Which branch an outcome takes: bits of less, equal, greater, nan.
int mask_of(const Step &s, const std::string &mode) {
  static const std::map<std::string, int> modes{{"BRANCH_LEQ", 0b0011}, {"BRANCH_LT", 0b0001}, {"BRANCH_GTE", 0b0110},
                                                {"BRANCH_GT", 0b0100},  {"BRANCH_EQ", 0b0010}, {"BRANCH_NEQ", 0b1101}};
  auto it = modes.find(mode);
  s.require(it != modes.end(), fmt::format("mode {} is not supported", quote_name(mode)));
  return it->second;
}
void link(Node &n, int mask, bool missing, int64_t yes, int64_t no) {
  if (missing) mask |= 1 << nan;
  for (int k = 0; k < 4; ++k) n.next[k] = mask >> k & 1 ? yes : no;
}

// The leaf's number that each tree ends in: [N, trees].
Value walk(Step &s, Value x, const Forest &f) {
  int64_t features = x.shape()[1], count = int64_t(f.nodes.size()), trees = int64_t(f.roots.size());
  Ints feature, next;
  Tensor numbers(x.dtype(), {count});
  for (size_t k = 0; k < f.nodes.size(); ++k) {
    const Node &n = f.nodes[k];
    s.require(n.leaf || (n.feature >= 0 && n.feature < features), fmt::format("feature {} of {}", n.feature, features));
    feature.push_back(n.feature), numbers.set(int64_t(k), n.number);
    next.insert(next.end(), n.next, n.next + 4);
  }
  auto integers = [](const Ints &v) {
    return Tensor::of<int64_t>(DType::i32, {int64_t(v.size())}, std::span<const int64_t>(v));
  };
  Shape shape{x.shape()[0], trees};
  auto step = [&](Value at, Value flat) {
    Graph &g = at.graph();
    Value row = iota(g, {DType::i32, shape}, 0) * double(features);
    Value v = gather(flat, row + gather(g.constant(integers(feature)), at), 0),
          number = gather(g.constant(numbers), at, 0);
    Value outcome = select(lt(v, number), g.splat({DType::i32, shape}, less),
                           select(eq(v, number), g.splat({DType::i32, shape}, equal),
                                  select(lt(number, v), g.splat({DType::i32, shape}, greater), nan)));
    return gather(g.constant(integers(next)), at * 4 + outcome, 0);
  };
  Value flat = reshape(x, {x.type().size()}), at = expand(reshape(s.g.constant(integers(f.roots)), {1, trees}), shape);
  s.require(x.type().size() < kMost, "the input is too large");
  if (f.depth <= kMostUnrolled) {
    for (int64_t k = 0; k < f.depth; ++k) at = step(at, flat);
    return at;
  }
  auto body = std::make_shared<Graph>("level");
  body->location = s.where;
  Value place = body->input("place", at.type()), data = body->input("data", flat.type());
  body->outputs = {{"next", step(place, data)}};
  return s.g
      .node(Op::scan, {at, flat}, {{Attr::carries, int64_t(1)}, {Attr::slices, int64_t(0)}, {Attr::trips, f.depth}},
            {body})
      ->result();
}

enum class Aggregate { average, sum, min, max };

// [N, targets] in `t`; targets that no leaf on the way names are 0.
Value aggregated(Step &s, Value x, Forest f, int64_t targets, Aggregate how, DType t) {
  s.require(x.rank() == 2 || x.rank() == 1, fmt::format("needs rows of features, but has {}", x.type().str()));
  if (x.rank() == 1) x = reshape(x, {1, x.shape()[0]});
  s.require(targets > 0 && !f.roots.empty(), "there are no trees, or no targets");
  f.arrange(s);
  s.require(f.leaves < kMost / targets, "the leaves have too many weights");
  bool extreme = how == Aggregate::min || how == Aggregate::max;
  double none = how == Aggregate::min ? INFINITY : how == Aggregate::max ? -INFINITY : 0;
  std::vector<double> table(size_t(f.leaves * targets), none);
  for (int64_t k = 0; k < f.leaves; ++k)
    for (const Weight &w : f.nodes[size_t(k)].weights) {
      s.require(w.target >= 0 && w.target < targets, fmt::format("target {} of {}", w.target, targets));
      double &cell = table[size_t(k * targets + w.target)];
      cell = how == Aggregate::min   ? std::min(cell, w.value)
             : how == Aggregate::max ? std::max(cell, w.value)
                                     : cell + w.value;
    }
  Value weights = s.g.constant(Tensor::of<double>(t, {f.leaves, targets}, std::span<const double>(table)));
  Value y = reduce_over(gather(weights, walk(s, x, f), 0),
                        how == Aggregate::min   ? "min"
                        : how == Aggregate::max ? "max"
                                                : "sum",
                        {1});
  if (extreme) y = select(is_inf(y), 0, y);
  return how == Aggregate::average ? y / double(f.roots.size()) : y;
}

// --- the lists of operator sets before 5: nodes named by tree and number, weights apart ---

Forest forest_of_lists(Step &s, const std::string &weights) {
  Ints tree = s.ints("nodes_treeids"), id = s.ints("nodes_nodeids"), feature = s.ints("nodes_featureids"),
       yes = s.ints("nodes_truenodeids"), no = s.ints("nodes_falsenodeids"),
       missing = s.ints("nodes_missing_value_tracks_true", Ints(tree.size(), 0));
  std::vector<double> number = reals(s, "nodes_values");
  const AttributeProto *modes = s.attr("nodes_modes");
  size_t n = tree.size();
  s.require(n > 0 && modes && size_t(modes->strings_size()) == n && id.size() == n && feature.size() == n &&
                yes.size() == n && no.size() == n && number.size() == n,
            "the lists of nodes differ in length");
  if (missing.size() != n) missing.assign(n, 0);
  Forest f;
  f.nodes.resize(n);
  std::map<std::pair<int64_t, int64_t>, int64_t> place;
  std::set<int64_t> seen;
  for (size_t k = 0; k < n; ++k) {
    s.require(place.emplace(std::pair(tree[k], id[k]), int64_t(k)).second,
              fmt::format("node {} of tree {} is given twice", id[k], tree[k]));
    if (seen.insert(tree[k]).second) f.roots.push_back(int64_t(k)); // a tree's first node
  }
  auto find = [&](int64_t t, int64_t k) {
    auto it = place.find({t, k});
    s.require(it != place.end(), fmt::format("tree {} has no node {}", t, k));
    return it->second;
  };
  for (size_t k = 0; k < n; ++k) {
    Node &node = f.nodes[k];
    node.leaf = modes->strings(int(k)) == "LEAF";
    if (node.leaf) continue;
    node.feature = feature[k], node.number = number[k];
    link(node, mask_of(s, modes->strings(int(k))), missing[k] != 0, find(tree[k], yes[k]), find(tree[k], no[k]));
  }
  Ints of_tree = s.ints(weights + "_treeids"), of_node = s.ints(weights + "_nodeids"),
       target = s.ints(weights + "_ids");
  std::vector<double> value = reals(s, weights + "_weights");
  s.require(of_tree.size() == value.size() && of_node.size() == value.size() && target.size() == value.size(),
            "the lists of weights differ in length");
  for (size_t k = 0; k < value.size(); ++k)
    f.nodes[size_t(find(of_tree[k], of_node[k]))].weights.push_back({target[k], value[k]});
  return f;
}

Value features(Step &s) { // what thresholds are compared with
  Value x = s.in(0);
  return x.dtype() == DType::f64 && s.attr("nodes_values_as_tensor") ? x : cast(x, DType::f32);
}

Value based(Step &s, Value y, const std::vector<double> &base) {
  if (base.empty()) return y;
  s.require(base.size() == 1 || int64_t(base.size()) == y.shape()[1].value(), "'base_values' does not fit the targets");
  return y + s.g.constant(Tensor::of<double>(y.dtype(), {int64_t(base.size())}, std::span<const double>(base)));
}

Values regressor(Step &s) {
  std::string how = s.s("aggregate_function", "SUM");
  static const std::map<std::string, Aggregate> words{
      {"AVERAGE", Aggregate::average}, {"SUM", Aggregate::sum}, {"MIN", Aggregate::min}, {"MAX", Aggregate::max}};
  auto it = words.find(how);
  s.require(it != words.end(), fmt::format("aggregate_function {} is not supported", quote_name(how)));
  Value x = features(s), y = aggregated(s, x, forest_of_lists(s, "target"), s.i("n_targets", 1), it->second, x.dtype());
  return {cast(transformed(s, based(s, y, reals(s, "base_values")), s.s("post_transform", "NONE")), DType::f32)};
}

// Of two classes, one alone may have weights: its score is a probability (weights that are all positive) or a margin.
Values classifier(Step &s) {
  Ints labels = labels_of(s, "classlabels_int64s", "classlabels_strings");
  const AttributeProto *strings = s.attr("classlabels_strings");
  int64_t classes = std::max<int64_t>(int64_t(labels.size()), strings ? strings->strings_size() : 0);
  s.require(classes > 0, "there are no labels");
  std::string how = s.s("post_transform", "NONE");
  Forest f = forest_of_lists(s, "class");
  Ints ids = s.ints("class_ids");
  std::vector<double> weights = reals(s, "class_weights"), base = reals(s, "base_values");
  std::set<int64_t> named(ids.begin(), ids.end());
  Value x = features(s);
  auto label = [&](Value position) { return s.wants(0) ? labelled(s, position, labels) : position; };
  if (classes == 2 && named.size() == 1) {
    bool second_named = *named.begin() == 1; // then the first scores 0
    for (Node &n : f.nodes)
      for (Weight &w : n.weights) w.target = 0;
    Value score = aggregated(s, x, std::move(f), 1, Aggregate::sum, x.dtype()); // [N, 1]
    if (!base.empty()) score = score + base.back();
    bool shares = std::all_of(weights.begin(), weights.end(), [](double w) { return w >= 0; });
    Value second = lt(shares ? 0.5 : 0.0, reshape(score, {score.shape()[0]}));
    Value both = second_named      ? transformed(s, concat({s.g.splat(score.type(), 0), score}, 1), how)
                 : how == "PROBIT" ? transformed(s, score, how)
                                   : both_classes(s, score, how, shares); // which stays one score
    return {label(cast(second, DType::i64)), cast(both, DType::f32)};
  }
  Value scores = based(s, aggregated(s, x, std::move(f), classes, Aggregate::sum, x.dtype()), base);
  return {label(argmax(scores, 1)), cast(transformed(s, scores, how), DType::f32)};
}

// --- operator set 5: links by position, leaves apart, tests of membership ---

Tensor tensor_attribute(Step &s, const char *name) {
  const AttributeProto *a = s.attr(name);
  s.require(a, fmt::format("attribute '{}' is missing", name));
  return s.importer.tensor(a->t(), s.where);
}

Values ensemble(Step &s) {
  Ints feature = s.ints("nodes_featureids"), yes = s.ints("nodes_truenodeids"), no = s.ints("nodes_falsenodeids"),
       yes_leaf = s.ints("nodes_trueleafs"), no_leaf = s.ints("nodes_falseleafs"),
       missing = s.ints("nodes_missing_value_tracks_true", Ints(feature.size(), 0)), target = s.ints("leaf_targetids");
  Tensor number = tensor_attribute(s, "nodes_splits"), mode = tensor_attribute(s, "nodes_modes"),
         weight = tensor_attribute(s, "leaf_weights");
  std::vector<double> members;
  if (s.attr("membership_values"))
    for (Tensor t = tensor_attribute(s, "membership_values"); int64_t(members.size()) < t.size();)
      members.push_back(t.get(int64_t(members.size())));
  int64_t n = int64_t(feature.size()), leaves = int64_t(target.size());
  s.require(is_integer(mode.dtype()), fmt::format("'nodes_modes' is {}", mode.type().str()));
  s.require(int64_t(yes.size()) == n && int64_t(no.size()) == n && int64_t(yes_leaf.size()) == n &&
                int64_t(no_leaf.size()) == n && number.size() == n && mode.size() == n &&
                int64_t(missing.size()) == n && weight.size() == leaves,
            "the lists of nodes or leaves differ in length");
  Forest f; // nodes, then leaves, then the tests that membership adds
  f.nodes.resize(size_t(n + leaves));
  for (int64_t k = 0; k < leaves; ++k) {
    Node &leaf = f.nodes[size_t(n + k)];
    leaf.leaf = true, leaf.weights = {{target[size_t(k)], weight.get(k)}};
  }
  static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"};
  size_t member = 0;
  for (int64_t k = 0; k < n; ++k) {
    auto child = [&](const Ints &to, const Ints &is_leaf) {
      int64_t limit = is_leaf[size_t(k)] ? leaves : n, c = to[size_t(k)];
      s.require(c >= 0 && c < limit, fmt::format("node {} leads to {} of {}", k, c, limit));
      return is_leaf[size_t(k)] ? n + c : c;
    };
    int64_t to_yes = child(yes, yes_leaf), to_no = child(no, no_leaf), code = mode.get_int(k);
    bool nan_yes = missing[size_t(k)] != 0;
    f.nodes[size_t(k)].feature = feature[size_t(k)], f.nodes[size_t(k)].number = number.get(k);
    if (code != 6) {
      s.require(code >= 0 && code < 6, fmt::format("mode {} is not supported", code));
      link(f.nodes[size_t(k)], mask_of(s, names[code]), nan_yes, to_yes, to_no);
      continue;
    }
    // One test of equality a member, each leading to the next.
    std::vector<double> set;
    for (; member < members.size() && !std::isnan(members[member]); ++member) set.push_back(members[member]);
    s.require(member < members.size() && !set.empty(), "'membership_values' does not fit the nodes");
    ++member;
    int64_t at = k;
    for (size_t j = 0; j < set.size(); ++j) {
      bool last = j + 1 == set.size();
      int64_t otherwise = last ? to_no : int64_t(f.nodes.size());
      Node &node = f.nodes[size_t(at)];
      node.feature = feature[size_t(k)], node.number = set[j];
      link(node, 1 << equal, false, to_yes, otherwise);
      node.next[nan] = nan_yes ? to_yes : to_no;
      if (!last) f.nodes.push_back({}), at = otherwise;
    }
  }
  f.roots = s.ints("tree_roots");
  for (int64_t r : f.roots) s.require(r >= 0 && r < n, fmt::format("root {} of {}", r, n));
  int64_t how = s.i("aggregate_function", 1), post = s.i("post_transform", 0);
  static const char *const transforms[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  s.require(how >= 0 && how < 4 && post >= 0 && post < 5, "aggregate_function or post_transform is out of range");
  Value x = s.in(0);
  return {
      transformed(s, aggregated(s, x, std::move(f), s.i("n_targets", 1), Aggregate(how), x.dtype()), transforms[post])};
}

} // namespace

void add_trees(Recipes &r) {
  r.on("TreeEnsembleRegressor", 1, regressor, kClassic), r.on("TreeEnsembleClassifier", 1, classifier, kClassic),
      r.on("TreeEnsemble", 5, ensemble, kClassic);
}

} // namespace trellis::onnx
