// The driver. Exit status: 0 done; 1 what the user gave could not be done, as the messages say; 2 wrong
// usage.
#include "compiler/tools/verbs.h"
#include "ir/diag.h"
#include "ir/nearest.h"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <new>
#include <unistd.h>

using namespace trellis;

void trellis::write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw CompileError(std::string("standard output: ") + std::strerror(errno));
}

// A standard stream that the caller closed would become the first file that is opened, and a message end up
// in a checkpoint. These ones stay closed to reads and writes as meant: both fail.
static void occupy_standard_streams() {
  for (int fd = 0; fd < 3; ++fd)
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
  occupy_standard_streams();
  Driver d;
  d.app.set_version_flag("--version", "trellis " TRELLIS_VERSION);
  d.app.require_subcommand(1);
  d.app.footer(
      "`trellis VERB --help` tells a verb's options. A model, or text to write, named - is standard input or output.");
  for (auto add : {add_compile, add_run, add_train, add_eval, add_predict, add_bench, add_verify, add_opt, add_info,
                   add_ops, add_passes})
    add(d);
  std::vector<std::string> verbs;
  for (const CLI::App *verb : d.app.get_subcommands({})) verbs.push_back(verb->get_name());
  if (argc > 1 && argv[1][0] != '-' && std::find(verbs.begin(), verbs.end(), argv[1]) == verbs.end()) {
    std::string hint = did_you_mean(argv[1], {verbs.begin(), verbs.end()});
    std::fprintf(stderr, "error: there is no verb '%s'%s\nRun with --help for more information.\n", argv[1],
                 hint.c_str());
    return 2;
  }
  try {
    d.app.parse(argc, argv);
  } catch (const CLI::ParseError &e) {
    if (d.app.exit(e) != 0) return 2;
    if (std::cout.flush()) return 0;
    std::fprintf(stderr, "error: standard output: %s\n", std::strerror(errno));
    return 1;
  }
  try {
    d.chosen();
    return 0;
  } catch (const CompileError &e) { std::fprintf(stderr, "%s\n", e.what()); } catch (const std::bad_alloc &) {
    std::fputs("error: not enough memory\n", stderr);
  }
  return 1;
}
