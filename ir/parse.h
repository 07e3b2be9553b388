// Text to graph. The format, by example:
//
//   trellis 1                                    // version of the format, first
//
//   graph @net(%x: f32[N, 784], %label: i64[N]) { // inputs given at every call; N is a symbolic dim, ? an
//   unknown one
//     param %w : f32[784, 10] init(he_normal)    // trained;  init may be left out
//     state %m : f32[784, 10] init(zero)         // kept between calls
//     %y = dot %x, %w : f32[N, 10]               // result types may be left out; they are checked where
//     given %z = mul %y, 0.5                           // a number takes its dtype from the other operands
//     %v, %i = sort %z, axis=1, descending=true  // several results; attributes follow operands
//     %c = constant f32[2, 2] [1, 2, 3, 4]       // elements in row-major order
//     %k = constant f32[512, 512] data("net.safetensors", "k")
//     %r = cond %p, %a @then(%a: f32[4]) {       // bodies are closed graphs: what they use is an operand
//       return %a
//     } @else(%a: f32[4]) {
//       %n = neg %a
//       return %n
//     }
//     update %m, %z                              // %m holds %z at the next call
//     return %z, best=%v                         // outputs; without a name one has its value's
//   }
//
// A statement ends at the end of its line; inside the inputs, a constant's elements and after a comma of
// `return` lines may be broken. Names of other characters than letters, digits, '_' and '.' are quoted:
// %"conv/1:0". Names that are numbers (%12) serve the text only and are not kept. Operands of elementwise ops
// broadcast as in numpy; the graph holds the reshape and expand nodes that this takes.
#pragma once
#include "ir/graph.h"
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace trellis {

inline constexpr int kTextVersion = 1;

/// Where the elements of a large constant lie: a file beside the text, and the tensor's name in it.
struct DataRef {
  std::string file, name;
};

struct ParseOptions {
  /// Gives the tensor that data("file", "name") refers to, or throws CompileError. Null: such constants are
  /// refused.
  std::function<Tensor(const DataRef &)> data;
};

/// Throws CompileError with every mistake found, each with its line and a caret. `file` names the text in
/// messages.
std::unique_ptr<Graph> parse(std::string_view text, std::string file = "<text>", const ParseOptions &options = {});
/// Reads the file and parses it.
std::unique_ptr<Graph> parse_file(const std::string &path, const ParseOptions &options = {});

} // namespace trellis
