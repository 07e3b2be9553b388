// trellis passes: the pass table, for people.
#include "compiler/tools/verbs.h"
#include "passes/pass.h"
#include <fmt/format.h>

namespace trellis {

void add_passes(Driver &d) {
  d.app.add_subcommand("passes", "List the passes")->callback([&d] {
    d.chosen = [] {
      std::string out;
      for (const PassInfo &p : passes()) out += fmt::format("{:<12} {}\n", p.name, p.doc);
      write_out(out);
    };
  });
}

} // namespace trellis
