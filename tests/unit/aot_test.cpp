#include "compiler/aot.h"
#include "compiler/compile.h"
#include "compiler/executable.h"
#include "ir/diag.h"
#include "ir/parse.h"
#include "tests/unit/program_samples.h"
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>

using namespace trellis;
namespace fs = std::filesystem;

namespace {

class Aot : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/trellis-aot-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder = name;
  }
  void TearDown() override { fs::remove_all(folder); }
  std::string in(const std::string &name) const { return (folder / name).string(); }
  void text(const std::string &name, std::string_view bytes) const { std::ofstream(in(name)) << bytes; }
  static std::string bytes(const std::string &path) {
    std::ifstream f(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(f), {}};
  }
  /// Runs a command; its output must be `expected` where that is given.
  std::string shell(const std::string &command) const {
    std::string out = in("out.txt");
    int rc = std::system((command + " > " + out + " 2>&1").c_str());
    std::string said = bytes(out);
    EXPECT_EQ(rc, 0) << command << "\n" << said;
    return said;
  }
  static bool has(const char *tool) {
    return std::system(fmt::format("command -v {} >/dev/null 2>&1", tool).c_str()) == 0;
  }

  fs::path folder;
};

// accumulate: y = x + c + w, w becomes y; c[i] = 100 i.
constexpr std::string_view kClient = R"(
#include "accumulate.h"
#include <stdio.h>
int main(void) {
  accumulate_context *c = accumulate_create(2);
  float x[ACCUMULATE_X_SIZE], y[ACCUMULATE_Y_SIZE], w[15];
  int i, step;
  if (!c || accumulate_abi_version() != ACCUMULATE_ABI_VERSION) return 2;
  for (i = 0; i < 15; ++i) x[i] = 0.25f * (float)i;
  for (step = 0; step < 2; ++step)
    if (accumulate_run(c, x, y)) { puts(accumulate_error(c)); return 3; }
  if (accumulate_get_state(c, "w", w)) return 4;
  for (i = 0; i < 15; ++i) printf("%g ", y[i] - w[i] + y[i]);
  printf("\n");
  if (accumulate_run(c, x, 0) == 0) return 5;
  puts(accumulate_error(c));
  if (accumulate_set_state(c, "v", w) == 0) return 6;
  puts(accumulate_error(c));
  accumulate_destroy(c);
  if (accumulate_create(0)) return 7;
  puts(accumulate_error(0));
  if (accumulate_run(0, x, y) != 10 || accumulate_set_threads(0, 1) != 10 || accumulate_get_state(0, "w", w) != 10)
    return 8; /* what the header says of NULL */
  return 0;
}
)";

std::vector<NamedTensor> initial_state() {
  Tensor w(DType::f32, {3, 5});
  for (int i = 0; i < 15; ++i) w.set(i, i);
  return {{"w", w}};
}

void expect_output(const std::string &said) {
  std::string expected;
  for (int i = 0; i < 15; ++i) expected += fmt::format("{:g} ", 2 * (100.0 * i + 0.25 * i) + i);
  expected += "\noutput 'y' should have data, but its pointer is null\n";
  EXPECT_TRUE(said.starts_with(expected)) << said << "\nexpected\n" << expected;
  EXPECT_NE(said.find("'v'"), std::string::npos) << said;
  EXPECT_NE(said.find("threads should be 1 to 512"), std::string::npos) << said;
}

} // namespace

TEST_F(Aot, SharedLibraryServesAPlainCProgram) {
  if (!has("cc")) GTEST_SKIP() << "no C compiler";
  auto state = initial_state();
  Target t = make_target("x86-64");
  AotOptions options{.threads = 1, .state = state};
  write_shared_library(in("libaccumulate.so"), samples::accumulate(), t, options);
  write_c_header(in("accumulate.h"), samples::accumulate(), t, options);
  text("client.c", kClient);
  shell(fmt::format("cd {} && cc -std=c99 -Wall -Wextra -Werror -pedantic client.c -L. -laccumulate -o client",
                    folder.string()));
  expect_output(shell(fmt::format("LD_LIBRARY_PATH={0} {0}/client", folder.string())));
}

TEST_F(Aot, ObjectServesCAndCxxPrograms) {
  if (!has("cc") || !has("c++")) GTEST_SKIP() << "no C or C++ compiler";
  auto state = initial_state();
  Target t = make_target("host");
  AotOptions options{.threads = 2, .state = state};
  write_object(in("accumulate.o"), samples::accumulate(), t, options);
  write_c_header(in("accumulate.h"), samples::accumulate(), t, options);
  text("client.c", kClient);
  shell(fmt::format("cd {} && cc -std=c99 client.c accumulate.o -lm -lpthread -o client && cp client.c client.cc && "
                    "c++ -Wall -Wextra -Werror client.cc accumulate.o -lm -lpthread -o client_cxx",
                    folder.string()));
  expect_output(shell(in("client")));
  expect_output(shell(in("client_cxx")));
}

TEST_F(Aot, TwoModelsLinkIntoOneProgram) {
  if (!has("cc")) GTEST_SKIP() << "no C compiler";
  Target t = make_target("host");
  std::string files, body;
  for (const char *name : {"first", "second"}) {
    Program p = samples::accumulate();
    p.name = name;
    write_object(in(fmt::format("{}.o", name)), p, t, {});
    write_c_header(in(fmt::format("{}.h", name)), p, t, {});
    files += fmt::format(" {}.o", name);
    body += fmt::format(
        "{{ {0}_context *c = {0}_create(1); float x[15] = {{0}}, y[15]; if ({0}_run(c, x, y) || y[3] != 300) "
        "return 1; {0}_destroy(c); }}\n",
        name);
  }
  text("both.c", "#include \"first.h\"\n#include \"second.h\"\nint main(void) {\n" + body + "return 0; }\n");
  shell(fmt::format("cd {} && cc both.c {} -lm -lpthread -o both && ./both", folder.string(), files));
}

TEST_F(Aot, SharedLibraryNeedsLibcAlone) {
  if (!has("readelf")) GTEST_SKIP() << "no readelf";
  write_shared_library(in("lib.so"), samples::accumulate(), make_target("host"), {});
  std::string dynamic = shell("readelf -dW " + in("lib.so"));
  std::istringstream lines(dynamic);
  for (std::string line; std::getline(lines, line);)
    if (line.find("(NEEDED)") != std::string::npos) {
      EXPECT_TRUE(line.find("libc.so.6") != std::string::npos || line.find("libm.so.6") != std::string::npos ||
                  line.find("libpthread.so.0") != std::string::npos || line.find("ld-linux") != std::string::npos)
          << line;
    }
  EXPECT_NE(dynamic.find("soname: [lib.so]"), std::string::npos);
  EXPECT_EQ(dynamic.find("TEXTREL"), std::string::npos);
  // It exports its own interface and nothing else.
  std::istringstream symbols(shell("readelf --dyn-syms -W " + in("lib.so")));
  int exported = 0;
  for (std::string line; std::getline(symbols, line);)
    if (line.find(" UND ") == std::string::npos && line.find(" GLOBAL ") != std::string::npos) {
      EXPECT_NE(line.find(" accumulate_"), std::string::npos) << line;
      ++exported;
    }
  EXPECT_GE(exported, 7);
}

TEST_F(Aot, SameBitsAsInProcess) {
  Target t = make_target("host");
  write_shared_library(in("lib.so"), samples::accumulate(), t, {});
  void *library = dlopen(in("lib.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto create = reinterpret_cast<void *(*)(int)>(dlsym(library, "accumulate_create"));
  auto run = reinterpret_cast<int (*)(void *, const float *, float *)>(dlsym(library, "accumulate_run"));
  auto destroy = reinterpret_cast<void (*)(void *)>(dlsym(library, "accumulate_destroy"));
  ASSERT_TRUE(create && run && destroy);
  Tensor x(DType::f32, {3, 5}), y(DType::f32, {3, 5});
  for (int i = 0; i < 15; ++i) x.set(i, 0.1 * i);
  void *context = create(1);
  ASSERT_NE(context, nullptr);
  EXPECT_EQ(run(context, x.as<float>().data(), y.as<float>().data()), 0);
  destroy(context);
  dlclose(library);
  Session s(Executable::compile(samples::accumulate(), t, 1));
  EXPECT_EQ(s.run(std::span<const Tensor>(&x, 1))[0], y);
}

TEST_F(Aot, LoopsAndBranchesInALibrary) {
  // h doubles and takes in a row; a row that begins with 0 is left out.
  auto g = parse(R"(trellis 1
graph @steps(%x: f32[5, 3]) {
  state %h : f32[3] init(zero)
  %last, %all = scan %h, %x, carries=1, slices=1 @step(%h: f32[3], %x: f32[3]) {
    %f = slice %x, start=[0], limit=[1], step=[1]
    %first = reshape %f, shape=[]
    %p = eq %first, 0
    %next = cond %p, %h, %x @skip(%h: f32[3], %x: f32[3]) { return %h } @take(%h: f32[3], %x: f32[3]) {
      %y = fma %h, 2, %x
      return %y
    }
    return %next, %next
  }
  update %h, %last
  return %all
})",
                 "test");
  CompileOptions options;
  options.target = "x86-64";
  write_shared_library(in("lib.so"), lower_program(*g, options), make_target("x86-64"), {});
  void *library = dlopen(in("lib.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto create = reinterpret_cast<void *(*)(int)>(dlsym(library, "steps_create"));
  auto run = reinterpret_cast<int (*)(void *, const float *, float *)>(dlsym(library, "steps_run"));
  auto destroy = reinterpret_cast<void (*)(void *)>(dlsym(library, "steps_destroy"));
  ASSERT_TRUE(create && run && destroy);
  float x[15] = {1, 2, 3, 0, 9, 9, 4, 5, 6, 0, 7, 7, 1, 1, 1}, y[15], h[3] = {};
  void *context = create(2);
  ASSERT_NE(context, nullptr);
  for (int again = 0; again < 3; ++again) {
    ASSERT_EQ(run(context, x, y), 0);
    for (int i = 0; i < 5; ++i)
      for (int j = 0; j < 3; ++j) {
        if (x[3 * i] != 0) h[j] = 2 * h[j] + x[3 * i + j];
        EXPECT_EQ(y[3 * i + j], h[j]) << again << " " << i << " " << j;
      }
  }
  destroy(context);
  dlclose(library);
}

TEST_F(Aot, OutputDoesNotDependOnThreadsOrFolder) {
  fs::create_directory(folder / "other");
  Target t = make_target("host");
  write_object(in("m.o"), samples::accumulate(), t, {.threads = 1, .state = {}});
  write_object(in("other/m.o"), samples::accumulate(), t, {.threads = 3, .state = {}});
  EXPECT_EQ(bytes(in("m.o")), bytes(in("other/m.o")));
  write_shared_library(in("m.so"), samples::accumulate(), t, {.threads = 1, .state = {}});
  write_shared_library(in("other/m.so"), samples::accumulate(), t, {.threads = 3, .state = {}});
  EXPECT_EQ(bytes(in("m.so")), bytes(in("other/m.so")));
}

TEST_F(Aot, OtherArchitectures) {
  write_object(in("arm.o"), samples::accumulate(), make_target("aarch64"), {});
  if (has("readelf")) { EXPECT_NE(shell("readelf -hW " + in("arm.o")).find("AArch64"), std::string::npos); }
  try {
    write_shared_library(in("arm.so"), samples::accumulate(), make_target("aarch64"), {});
    FAIL() << "no error";
  } catch (const CompileError &e) { EXPECT_NE(std::string(e.what()).find("target 'aarch64'"), std::string::npos); }
  EXPECT_FALSE(fs::exists(in("arm.so")));
}

TEST_F(Aot, FailuresNameTheFileAndLeaveNothing) {
  std::string missing = in("no/such/folder.so");
  try {
    write_shared_library(missing, samples::accumulate(), make_target("host"), {});
    FAIL() << "no error";
  } catch (const CompileError &e) { EXPECT_NE(std::string(e.what()).find(missing), std::string::npos) << e.what(); }
  // A limit on the size of files stands for a full disk.
  write_object(in("full.o"), samples::accumulate(), make_target("host"), {});
  rlimit old{}, small{fs::file_size(in("full.o")) - 1, 0};
  getrlimit(RLIMIT_FSIZE, &old);
  small.rlim_max = old.rlim_max;
  text("full.o", "old");
  setrlimit(RLIMIT_FSIZE, &small);
  std::string said;
  try {
    write_object(in("full.o"), samples::accumulate(), make_target("host"), {});
  } catch (const CompileError &e) { said = e.what(); }
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_NE(said.find("full.o"), std::string::npos) << said;
  EXPECT_EQ(bytes(in("full.o")), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST_F(Aot, RefusesStateThatDoesNotFit) {
  std::vector<NamedTensor> state{{"w", Tensor(DType::f32, {5, 3})}};
  auto failure = [&] {
    try {
      write_object(in("m.o"), samples::accumulate(), make_target("host"), {.threads = 1, .state = state});
    } catch (const CompileError &e) { return std::string(e.what()); }
    return std::string();
  };
  EXPECT_EQ(failure(), "error: accumulate: state 'w' should be f32[3, 5], but is f32[5, 3]");
  state[0].name = "v";
  EXPECT_EQ(failure(), "error: accumulate: no state is called 'v'");
}

TEST(CHeader, NamesAreIdentifiers) {
  Program p = samples::accumulate();
  p.name = "2-layer net";
  p.inputs[0].name = "class";
  p.outputs[0].name = "class_";
  std::string h = c_header(p, make_target("host"), {});
  EXPECT_NE(h.find("int _2_layer_net_run(_2_layer_net_context *context, const float *class_, float *class__2);"),
            std::string::npos)
      << h;
  EXPECT_NE(h.find("called 'class' in the model"), std::string::npos) << h;
}
