// Errors: users' mistakes are located CompileErrors; broken invariants abort with a message.
#pragma once
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

/// Where a node came from. Text: file, line and column (1-based). ONNX: file and node text. C++: file and line.
struct Location {
  std::shared_ptr<const std::string> file; ///< shared by all nodes of one source
  int line = 0, column = 0;                ///< 0: not known
  std::string node;                        ///< e.g. "node 'conv1' (Conv)"; empty for text
  std::string str() const;
  bool known() const { return file || line || !node.empty(); }
};

struct Diagnostic {
  enum class Kind { error, warning, note } kind = Kind::error;
  Location where;
  std::string text;
  std::string source_line; ///< shown under the message with a caret at where.column, when not empty
  int length = 1;          ///< columns that the caret underlines
  /// "net.trl:3:8: error: text" followed by the source line and a caret line when there is one.
  std::string str() const;
};

/// One or more located errors in what the user gave. what() is the full report, one diagnostic a paragraph.
class CompileError : public std::exception {
public:
  explicit CompileError(std::vector<Diagnostic> all);
  CompileError(Location where, std::string text);
  explicit CompileError(std::string text) : CompileError(Location{}, std::move(text)) {}
  const std::vector<Diagnostic> &diagnostics() const { return all_; }
  const char *what() const noexcept override { return report_.c_str(); }

private:
  std::vector<Diagnostic> all_;
  std::string report_;
};

/// Prints `text` with the source position and aborts: an internal error, never a user's.
[[noreturn]] void check_failed(const char *file, int line, const char *condition, std::string_view text);

} // namespace trellis

/// Invariant check, on in every build; `text` is evaluated only on failure.
#define TRELLIS_CHECK(condition, text)                                                                                 \
  do {                                                                                                                 \
    if (!(condition)) ::trellis::check_failed(__FILE__, __LINE__, #condition, text);                                   \
  } while (0)
