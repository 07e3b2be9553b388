// trellis opt: runs passes over a graph and prints it.
#include "compiler/tools/model.h"
#include "compiler/tools/verbs.h"
#include "passes/pass.h"
#include <memory>

namespace trellis {

void add_opt(Driver &d) {
  struct Options {
    ModelOptions model;
    std::string passes, output = "-";
    std::vector<std::string> print_after, off;
    PassOptions pass;
    bool no_verify = false;
  };
  auto o = std::make_shared<Options>();
  CLI::App *app = d.app.add_subcommand("opt", "Run passes over a graph and print it");
  o->model.declare(*app);
  o->model.declare_constants(*app);
  app->add_option("--passes", o->passes, "passes in order, e.g. grad(loss),simplify (see `trellis passes`)")
      ->type_name("LIST");
  app->add_option("-o,--output", o->output,
                  "where the text goes, or standard ONNX (FILE.onnx); default: standard output")
      ->type_name("FILE")
      ->check(require_name());
  app->add_option("--print-after", o->print_after, "print the graph after these passes (to standard error)")
      ->type_name("PASS")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_flag("--print-after-all", o->pass.print_after_all, "print the graph after every pass (to standard error)");
  app->add_option("--off", o->off, "leave these passes out")
      ->type_name("PASS")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_flag("--time", o->pass.time, "print how long each pass took (to standard error)");
  app->add_flag_callback(
      "--inexact", [o] { o->pass.allowed = Exactness::inexact; },
      "allow rules that change rounding or the sign of a zero");
  app->add_flag("--no-verify", o->no_verify, "do not check the graph after each pass");
  app->callback([&d, o] {
    d.chosen = [o] {
      Model m = o->model.load();
      Bindings dims = o->model.dims();
      if (!dims.empty() && !o->model.is_onnx()) resolve_dims(m.graph, dims);
      o->pass.verify = !o->no_verify;
      o->pass.print_after = {o->print_after.begin(), o->print_after.end()};
      o->pass.off = {o->off.begin(), o->off.end()};
      run_passes(m.graph, split_passes(o->passes), o->pass);
      save(m, o->output);
    };
  });
}

} // namespace trellis
