#include "compiler/aot.h"
#include "runtime/trellis.h"
#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace trellis {

namespace {

std::string_view c_type(DType t) {
  switch (t) {
  case DType::f32: return "float";
  case DType::f64: return "double";
  case DType::f16:
  case DType::bf16:
  case DType::u16: return "uint16_t";
  case DType::i8: return "int8_t";
  case DType::i16: return "int16_t";
  case DType::i32: return "int32_t";
  case DType::i64: return "int64_t";
  case DType::u8:
  case DType::boolean: return "uint8_t";
  case DType::u32: return "uint32_t";
  case DType::u64: return "uint64_t";
  }
  return "void";
}

std::string_view remark(DType t) {
  switch (t) {
  case DType::f16: return " (bits of IEEE binary16)";
  case DType::bf16: return " (bits of bfloat16)";
  case DType::boolean: return " (0 or 1)";
  default: return "";
  }
}

/// What may not be a parameter's name in C or C++.
bool is_keyword(std::string_view s) {
  static const std::set<std::string_view> all = {"alignas",     "alignof",      "and",          "and_eq",
                                                 "asm",         "auto",         "bitand",       "bitor",
                                                 "bool",        "break",        "case",         "catch",
                                                 "char",        "char16_t",     "char32_t",     "char8_t",
                                                 "class",       "co_await",     "co_return",    "co_yield",
                                                 "compl",       "concept",      "const",        "const_cast",
                                                 "consteval",   "constexpr",    "constinit",    "context",
                                                 "continue",    "decltype",     "default",      "delete",
                                                 "do",          "double",       "dynamic_cast", "else",
                                                 "enum",        "explicit",     "export",       "extern",
                                                 "false",       "float",        "for",          "friend",
                                                 "goto",        "if",           "inline",       "int",
                                                 "long",        "mutable",      "namespace",    "new",
                                                 "noexcept",    "not",          "not_eq",       "nullptr",
                                                 "operator",    "or",           "or_eq",        "private",
                                                 "protected",   "public",       "register",     "reinterpret_cast",
                                                 "requires",    "restrict",     "return",       "short",
                                                 "signed",      "sizeof",       "static",       "static_assert",
                                                 "static_cast", "struct",       "switch",       "template",
                                                 "this",        "thread_local", "throw",        "true",
                                                 "try",         "typedef",      "typeid",       "typename",
                                                 "typeof",      "union",        "unsigned",     "using",
                                                 "virtual",     "void",         "volatile",     "wchar_t",
                                                 "while",       "xor",          "xor_eq"};
  return all.contains(s);
}

/// A text inside a C comment.
std::string comment(std::string s) {
  for (size_t at; (at = s.find("*/")) != std::string::npos;) s[at + 1] = ' ';
  std::replace(s.begin(), s.end(), '\n', ' ');
  return s;
}

struct Parameter {
  std::string name;
  const ProgramTensor *tensor;
};

std::vector<Parameter> parameters(const std::vector<ProgramTensor> &all, std::set<std::string> &taken) {
  std::vector<Parameter> out;
  for (const ProgramTensor &t : all) {
    std::string base = c_identifier(t.name);
    if (is_keyword(base)) base += '_';
    std::string name = base;
    for (int n = 2; !taken.insert(name).second; ++n) name = fmt::format("{}_{}", base, n);
    out.push_back({name, &t});
  }
  return out;
}

std::string describe(const char *title, const std::vector<Parameter> &all) {
  std::string out = fmt::format(" *\n * {}:\n", title);
  for (const Parameter &p : all) {
    const ProgramTensor &t = *p.tensor;
    out += fmt::format(" *   {:<16} {}{}, {} elements{}\n", p.name, t.type.str(), remark(t.type.dtype), t.type.size(),
                       t.name == p.name ? "" : fmt::format(", called '{}' in the model", comment(t.name)));
  }
  return out;
}

} // namespace

std::string c_header(const Program &p, const Target &t, const AotOptions &options) {
  std::string name = c_identifier(p.name), upper = name;
  for (char &c : upper) c = char(std::toupper(static_cast<unsigned char>(c)));
  std::set<std::string> taken;
  std::vector<Parameter> inputs = parameters(p.inputs, taken), outputs = parameters(p.outputs, taken);

  std::string out = fmt::format(
      "/* {}: compiled by trellis for {}. Link an object with -lm; before glibc 2.34, link it or the library\n"
      " * with -lpthread. Nothing else is needed.\n"
      " *\n"
      " * A context holds the memory of one run and serves one call at a time; several contexts may run at "
      "once.\n"
      " * Tensors are dense, row-major and aligned to their element; outputs may not overlap inputs or each "
      "other.\n"
      " * Results are the same bits for any number of threads. Functions that return int return 0, or on "
      "failure\n"
      " * another number, having written nothing; {}_error says why (1: the context is in another call, {}: it\n"
      " * is NULL).\n",
      comment(p.name), comment(t.name), name, int(TRELLIS_BAD_POINTER));
  out += describe("Inputs", inputs);
  out += describe("Outputs", outputs);
  if (!p.states.empty()) {
    out += " *\n * State, kept in the context between runs:\n";
    for (const ProgramTensor &s : p.states) {
      bool given = find(options.state, s.name) != nullptr;
      out += fmt::format(" *   {:<16} {}{}{}, starts {}\n", fmt::format("\"{}\"", comment(s.name)), s.type.str(),
                         remark(s.type.dtype), s.trained ? ", a parameter" : "", given ? "as compiled in" : "at zero");
    }
  }
  out += fmt::format(R"( */
#ifndef {0}_H
#define {0}_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* What {1}_abi_version returns: the thousands change when a caller must be recompiled. */
#define {0}_ABI_VERSION {2}
/* Elements of each tensor. */
)",
                     upper, name, TRELLIS_API_MAJOR * 1000 + TRELLIS_API_MINOR);
  for (auto *list : {&inputs, &outputs})
    for (const Parameter &q : *list) {
      std::string macro = q.name;
      for (char &c : macro) c = char(std::toupper(static_cast<unsigned char>(c)));
      if (!taken.insert(macro + "#").second) continue; // names that differ in case alone
      out += fmt::format("#define {}_{}_SIZE {}\n", upper, macro, q.tensor->type.size());
    }

  std::string list;
  for (const Parameter &q : inputs) list += fmt::format(", const {} *{}", c_type(q.tensor->type.dtype), q.name);
  for (const Parameter &q : outputs) list += fmt::format(", {} *{}", c_type(q.tensor->type.dtype), q.name);
  out += fmt::format(R"(
typedef struct {0}_context {0}_context;

/* A context that runs on up to `threads` threads (1 or more). NULL on failure: {0}_error(NULL) says what is needed. */
{0}_context *{0}_create(int threads);
void {0}_destroy({0}_context *context); /* NULL is fine */

int {0}_run({0}_context *context{1});

/* What went wrong in the last call on this context; "" if nothing did. */
const char *{0}_error(const {0}_context *context);
int {0}_set_threads({0}_context *context, int threads);
int {0}_abi_version(void);
)",
                     name, list);
  if (!p.states.empty())
    out += fmt::format(R"(
/* Copies a state tensor in or out by the name above, dense and row-major, in its own element type. */
int {0}_set_state({0}_context *context, const char *name, const void *data);
int {0}_get_state({0}_context *context, const char *name, void *data);
)",
                       name);
  out += R"(
#ifdef __cplusplus
}
#endif
#endif
)";
  return out;
}

} // namespace trellis
