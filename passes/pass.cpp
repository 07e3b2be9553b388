#include "passes/pass.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "passes/autodiff.h"
#include "passes/dce.h"
#include "passes/decompose.h"
#include "passes/fold.h"
#include "passes/legalize.h"
#include "passes/pad_conv.h"
#include "passes/raise.h"
#include "passes/rules/rules.h"
#include "passes/simplify.h"
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fmt/format.h>

namespace trellis {

static void none(const PassArgs &args, std::string_view name) {
  if (!args.empty()) throw CompileError(fmt::format("pass '{}' takes no arguments, but got '{}'", name, args[0]));
}

static Exactness exactness(const PassArgs &args, const PassOptions &options) {
  if (args.empty()) return options.allowed;
  if (args.size() == 1 && args[0] == "exact") return Exactness::exact;
  if (args.size() == 1 && args[0] == "finite") return Exactness::finite;
  if (args.size() == 1 && args[0] == "inexact") return Exactness::inexact;
  throw CompileError(fmt::format("pass 'simplify' takes one of exact, finite, inexact, but got '{}'", args[0]));
}

static std::function<bool(const Node &)> kept(const PassArgs &args, const PassOptions &options) {
  if (args.empty()) return options.keep ? options.keep : legalizes;
  std::set<Op> ops;
  for (const std::string &word : args) {
    std::optional<Op> op = parse_op(word);
    if (!op || info(*op).kind != OpKind::composite)
      throw CompileError(fmt::format("pass 'decompose' takes names of composite ops, but got '{}'", word));
    ops.insert(*op);
  }
  return [ops](const Node &n) { return !ops.count(n.op); };
}

static const PassInfo kPasses[] = {
#define PASS(name, doc, ...)                                                                                           \
  {#name, doc,                                                                                                         \
   []([[maybe_unused]] GraphPtr &g, [[maybe_unused]] const PassArgs &args,                                             \
      [[maybe_unused]] const PassOptions &options) { __VA_ARGS__; }},
#include "passes/passes.def"
};

std::span<const PassInfo> passes() { return kPasses; }
const PassInfo *find_pass(std::string_view name) {
  for (const PassInfo &p : kPasses)
    if (p.name == name) return &p;
  return nullptr;
}

static void say(const PassOptions &o, const std::string &text) {
  if (o.print)
    o.print(text);
  else
    std::fwrite(text.data(), 1, text.size(), stderr);
}

PassScope::PassScope(std::string_view name, GraphPtr &g, const PassOptions &options)
    : name_(name), graph_(g), options_(options), start_(std::chrono::steady_clock::now()),
      unwinding_(std::uncaught_exceptions()) {}

PassScope::~PassScope() {
  if (std::uncaught_exceptions() > unwinding_) return;
  // From here on nothing may leave the destructor: what fails below is an internal error.
  std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start_;
  if (options_.time)
    say(options_, fmt::format("{:<16} {:9.3f} ms {:7} nodes\n", name_, ms.count(), graph_->reachable().size()));
  if (options_.print_after_all || options_.print_after.count(name_))
    say(options_, fmt::format("// after {}\n{}\n", name_, print(*graph_)));
  if (!options_.verify) return;
  try {
    verify(*graph_);
  } catch (const CompileError &e) {
    TRELLIS_CHECK(false, fmt::format("pass '{}' broke the graph:\n{}\n{}", name_, e.what(), print(*graph_)));
  }
}

std::vector<std::string> split_passes(std::string_view list) {
  std::vector<std::string> out;
  std::string word;
  int depth = 0;
  for (char c : list) {
    if (c == ' ') continue;
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == ',' && depth == 0) {
      if (!word.empty()) out.push_back(std::move(word));
      word.clear();
    } else
      word += c;
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

static const PassInfo &known(std::string_view name) {
  if (const PassInfo *p = find_pass(name)) return *p;
  std::string all;
  for (const PassInfo &p : kPasses) all += (all.empty() ? "" : ", ") + std::string(p.name);
  throw CompileError(fmt::format("there is no pass '{}'; the passes are: {}", name, all));
}

static void require_bound(const Graph &g) {
  for (const Node *n : g.reachable())
    for (const Type &t : n->types)
      if (!is_static(t.shape))
        throw CompileError(n->loc,
                           fmt::format("'{}' is {}: passes run on graphs whose dims are numbers; bind them first, "
                                       "e.g. --dim N=8",
                                       n->info().name, t.str()));
}

void run_passes(GraphPtr &g, const std::vector<std::string> &list, const PassOptions &options) {
  for (const auto *set : {&options.off, &options.print_after})
    for (const std::string &name : *set) known(name);
  std::vector<std::pair<const PassInfo *, PassArgs>> todo;
  for (const std::string &item : list) {
    size_t open = item.find('(');
    PassArgs args;
    if (open != std::string::npos) {
      if (item.back() != ')' || item.find('(', open + 1) != std::string::npos)
        throw CompileError(fmt::format("'{}' is not a pass: write name or name(argument, ...)", item));
      args = split_passes(std::string_view(item).substr(open + 1, item.size() - open - 2));
    }
    todo.emplace_back(&known(std::string_view(item).substr(0, open)), std::move(args));
  }
  for (const std::string &name : options.print_after)
    if (options.off.count(name) ||
        std::none_of(todo.begin(), todo.end(), [&](const auto &p) { return p.first->name == name; }))
      throw CompileError(
          fmt::format("there is nothing to print after '{}': it is not among the passes that run", name));
  if (!todo.empty()) require_bound(*g);
  for (const auto &[pass, args] : todo) {
    if (options.off.count(pass->name)) continue;
    PassScope scope(pass->name, g, options);
    pass->run(g, args, options);
  }
  if (options.time) say(options, rule_report());
}

std::string rule_report() {
  std::string out, idle;
  size_t rules = 0;
  for (const RuleSet *set : {&simplify_rules(), &raise_rules()}) {
    std::vector<uint64_t> fired = set->fired();
    rules += fired.size();
    for (size_t i = 0; i < fired.size(); ++i)
      if (fired[i])
        out += fmt::format("  {:<24} {:7}\n", set->rules()[i]->name, fired[i]);
      else
        idle += (idle.empty() ? "" : ", ") + set->rules()[i]->name;
  }
  return fmt::format("{} rules; fired in this process:\n{}never: {}\n", rules, out, idle);
}

} // namespace trellis
