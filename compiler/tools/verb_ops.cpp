// trellis ops: the op table, and the ONNX operators that import reads, for people.
#include "compiler/onnx/import.h"
#include "compiler/tools/verbs.h"
#include "ir/graph.h"
#include "ir/nearest.h"
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>

namespace trellis {

static const char *kind_text(OpKind k) {
  static constexpr const char *kText[] = {"source",      "elementwise", "movement", "reduction",
                                          "contraction", "indexed",     "control",  "composite"};
  return kText[int(k)];
}

static std::string attributes(const OpInfo &r, std::string_view quote) {
  std::string out;
  for (const AttrSpec &a : r.attrs)
    out +=
        fmt::format("{}{}{}{}{}", out.empty() ? "" : ", ", quote, name(a.attr), quote, a.required ? "" : " (optional)");
  return out;
}

static std::string operands(const OpInfo &r) { return r.arity < 0 ? "1 or more" : std::to_string(r.arity); }

static std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '|' ? "\\|" : std::string(1, c);
  return out;
}

static std::string markdown() {
  std::string out = "| op | kind | operands | attributes | meaning |\n|---|---|---|---|---|\n";
  for (int i = 0; i < kOpCount; ++i) {
    const OpInfo &r = info(Op(i));
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", r.name, kind_text(r.kind), operands(r), attributes(r, "`"),
                       cell(r.doc));
  }
  out += "\n| attribute | meaning |\n|---|---|\n";
  for (int i = 0; i < kAttrCount; ++i) out += fmt::format("| `{}` | {} |\n", name(Attr(i)), cell(doc_of(Attr(i))));
  return out;
}

static std::string one(const OpInfo &r) {
  std::string out = fmt::format("{}\n  {}\n  {}, operands: {}\n", r.name, r.doc, kind_text(r.kind), operands(r));
  for (const AttrSpec &a : r.attrs)
    out += fmt::format("  {}{}: {}\n", name(a.attr), a.required ? "" : " (optional)", doc_of(a.attr));
  if (!r.onnx.empty()) out += fmt::format("  ONNX: {}\n", r.onnx);
  if (r.no_gradient) out += "  has no derivative\n";
  return out;
}

static std::string list() {
  std::string out;
  OpKind last{};
  for (int i = 0; i < kOpCount; ++i) {
    const OpInfo &r = info(Op(i));
    if (i == 0 || r.kind != last) out += fmt::format("{}{}\n", i ? "\n" : "", kind_text(last = r.kind));
    out += fmt::format("  {:<14} {}\n", r.name, r.doc);
  }
  return out;
}

// A block a domain: operator, versions of its operator set from which each way of reading it holds, the op that it is.
static std::string onnx_list(const std::vector<std::string> &names) {
  std::string out, domain;
  std::vector<onnx::ReadableOperator> all = onnx::readable_operators();
  std::vector<std::string_view> known;
  for (const onnx::ReadableOperator &o : all) known.push_back(o.name);
  for (const std::string &n : names)
    if (std::find(known.begin(), known.end(), n) == known.end())
      throw CompileError(fmt::format("no ONNX operator '{}' is read{}", n, did_you_mean(n, known)));
  for (const onnx::ReadableOperator &o : all) {
    if (!names.empty() && std::find(names.begin(), names.end(), o.name) == names.end()) continue;
    if (o.domain != domain) {
      auto count = std::count_if(all.begin(), all.end(), [&](const auto &x) { return x.domain == o.domain; });
      out += fmt::format("{}{}{}\n", out.empty() ? "" : "\n", domain = o.domain,
                         names.empty() ? fmt::format(" ({})", count) : "");
    }
    std::string since = fmt::format("{}", fmt::join(o.since, ", "));
    out += o.op.empty() ? fmt::format("  {:<32} {}\n", o.name, since)
                        : fmt::format("  {:<32} {:<10} {}\n", o.name, since, o.op);
  }
  return out;
}

void add_ops(Driver &d) {
  struct Options {
    bool markdown = false, onnx = false;
    std::vector<std::string> names;
  };
  auto o = std::make_shared<Options>();
  CLI::App *app = d.app.add_subcommand("ops", "List the ops, or tell all about some");
  app->add_flag("--markdown", o->markdown, "the whole table as Markdown");
  app->add_flag("--onnx", o->onnx,
                "the ONNX operators that import reads, by domain, with the versions from which each holds");
  app->add_option("OP", o->names, "ops to tell about");
  app->callback([&d, o] {
    d.chosen = [o] {
      if (o->onnx) return write_out(onnx_list(o->names));
      if (o->names.empty()) return write_out(o->markdown ? markdown() : list());
      std::vector<std::string_view> all;
      for (int i = 0; i < kOpCount; ++i) all.push_back(name(Op(i)));
      std::string out;
      for (const std::string &n : o->names) {
        std::optional<Op> op = parse_op(n);
        if (!op) throw CompileError(fmt::format("there is no op '{}'{}", n, did_you_mean(n, all)));
        out += one(info(*op));
      }
      write_out(out);
    };
  });
}

} // namespace trellis
