// Tensors on the command line: --input NAME=..., --inputs FILE.npz, --output NAME=FILE.npy, --outputs
// FILE.npz; --outputs NAME,... chooses values by name.
#pragma once
#include "compiler/data/named_tensor.h"
#include "ir/graph.h"
#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

namespace trellis {

/// Which tensors that are written out are taken: all, and a name that the graph has not is an error, or those that it has.
enum class Literals { all, known };

class TensorArgs {
public:
  void declare(CLI::App &app);
  void declare_inputs(CLI::App &app);
  /// Another option for single tensors than --input.
  void declare_single(CLI::App &app, const char *option, const std::string &doc);
  bool any() const { return !input_.empty() || !inputs_.empty(); }
  bool has_literals() const;
  /// The tensors that come from files.
  std::map<std::string, Tensor> files() const;
  /// Types of tensors from files, and of those that are written out as far as their brackets and `g` tell
  /// them.
  /// `steps`: they may have one dim more, a leading axis of steps.
  std::map<std::string, Type> types(const Graph &g, const std::map<std::string, Tensor> &files,
                                    bool steps = false) const;
  /// Those that are written out (--input 'x=[1, 2]'), of the types of g's inputs; brackets tell the dims that are not bound.
  void add_literals(const Graph &g, std::map<std::string, Tensor> &to, bool steps = false,
                    Literals which = Literals::all) const;
  /// Values that --outputs names, and those that --output writes.
  std::vector<std::string> shown() const;
  std::vector<std::string> written() const;
  /// Writes the results where the options say, or prints them, one a line.
  void write(const std::vector<NamedTensor> &results) const;

private:
  const char *single_ = "--input";
  std::vector<std::string> input_, inputs_, output_, outputs_;
};

} // namespace trellis
