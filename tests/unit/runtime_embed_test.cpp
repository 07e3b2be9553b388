// What an embedder of the archive needs: libc, libm and pthread, a C compiler, and nothing else.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

std::string output_of(const std::string &command) {
  std::string text;
  FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "cannot run " + command;
  std::array<char, 4096> buffer;
  while (size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
  if (int status = pclose(pipe)) text += "(status " + std::to_string(status) + ")";
  return text;
}

bool in_libc_or_libm(const char *symbol) {
  static void *libraries[] = {dlopen("libc.so.6", RTLD_NOW), dlopen("libm.so.6", RTLD_NOW)};
  for (void *library : libraries)
    if (library != nullptr && dlsym(library, symbol) != nullptr) return true;
  return false;
}

// A model of one kernel over 1000 iterations: y = 2 x, on 3 threads.
const char *model = R"(
#include "trellis.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void twice(void *const *args, int64_t begin, int64_t end) {
  const float *x = args[0];
  float *y = args[1];
  for (int64_t i = begin; i < end; ++i) y[i] = 2 * x[i];
}
static const int64_t dims[] = {1000};
static const trellis_tensor_info x_info = {"x", TRELLIS_F32, 1, dims, 4000, 0, 0, 0};
static const trellis_tensor_info y_info = {"y", TRELLIS_F32, 1, dims, 4000, 0, 0, 0};
static const trellis_slot slots[] = {{TRELLIS_SLOT_INPUT, 0, 0, 4000}, {TRELLIS_SLOT_OUTPUT, 0, 0, 4000}};
static const uint32_t args[] = {0, 1};
static const trellis_call call = {.kernel = twice, .name = "twice", .args = args, .arg_count = 2, .trip = 1000, .grain = 1};
static const trellis_program program = {.version = TRELLIS_PROGRAM_VERSION, .name = "twice", .inputs = &x_info,
  .outputs = &y_info, .input_count = 1, .output_count = 1, .slots = slots, .slot_count = 2, .calls = &call,
  .call_count = 1};

int use(int forever) {
  char why[256];
  trellis_context *context;
  if (trellis_context_create(&program, 3, &context, why, sizeof why) != TRELLIS_OK) {
    puts(why);
    return 1;
  }
  static float x[1000], y[1000];
  for (int i = 0; i < 1000; ++i) x[i] = (float)i;
  trellis_tensor in = {x, TRELLIS_F32, 1, dims}, out = {y, TRELLIS_F32, 1, dims};
  do
    if (trellis_run(context, &in, 1, &out, 1) != TRELLIS_OK) {
      puts(trellis_last_error(context));
      return 1;
    }
  while (forever);
  for (int i = 0; i < 1000; ++i)
    if (y[i] != 2.0f * (float)i) return 2;
  trellis_context_destroy(context);
  return 0;
}
#ifdef WITH_MAIN
static void *background(void *unused) {
  (void)unused;
  use(1);
  return 0;
}
int main(void) {
  int status = use(0);
  pthread_t thread; /* the process ends while this one is in its kernels */
  if (pthread_create(&thread, 0, background, 0) != 0) return 3;
  usleep(5000);
  puts("done");
  return status;
}
#endif
)";

struct RuntimeEmbed : testing::Test {
  fs::path folder = fs::temp_directory_path() / ("trellis_embed_" + std::to_string(getpid()));
  void SetUp() override {
    if (*TRELLIS_SANITIZE) GTEST_SKIP() << "the archive is instrumented: " << TRELLIS_SANITIZE;
    fs::create_directories(folder);
    std::ofstream(folder / "model.c") << model;
  }
  void TearDown() override { fs::remove_all(folder); }
  /// Compiles the model; -nostdlib, so what is linked is what is named here.
  std::string compile(const std::string &flags, const std::string &output) {
    return output_of(std::string(TRELLIS_C_COMPILER) +
                     " -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Wpedantic -Werror -fPIC -I" + TRELLIS_RUNTIME_HEADERS +
                     " " + flags + " " + (folder / "model.c").string() + " " + TRELLIS_RUNTIME_ARCHIVE +
                     " -Wl,--no-undefined -lc -lm -o " + (folder / output).string());
  }
};

TEST_F(RuntimeEmbed, TheArchiveNeedsLibcAlone) {
  std::istringstream lines(output_of(std::string(TRELLIS_NM) + " " + TRELLIS_RUNTIME_ARCHIVE));
  std::set<std::string> defined, undefined;
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string a, b, c;
    words >> a >> b >> c;
    if (a == "U")
      undefined.insert(b);
    else if (!c.empty())
      defined.insert(c);
  }
  EXPECT_TRUE(defined.count("trellis_run"));
  EXPECT_TRUE(undefined.count("pthread_create"));
  for (const std::string &symbol : undefined) {
    if (symbol == "_GLOBAL_OFFSET_TABLE_" || symbol == "__dso_handle") continue;
    EXPECT_TRUE(defined.count(symbol) || in_libc_or_libm(symbol.c_str())) << symbol << " is not in libc or libm";
  }
}

TEST_F(RuntimeEmbed, ACProgramRunsAndMayEndDuringARun) {
  ASSERT_EQ(compile("-DWITH_MAIN -pthread", "program"), "");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(output_of("timeout 20 " + (folder / "program").string()), "done\n");
}

TEST_F(RuntimeEmbed, ASharedLibraryMayBeClosedWhileItsWorkersSpin) {
  ASSERT_EQ(compile("-shared -nostdlib", "model.so"), "");
  for (int i = 0; i < 5; ++i) {
    void *library = dlopen((folder / "model.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    auto use = reinterpret_cast<int (*)(int)>(dlsym(library, "use"));
    ASSERT_NE(use, nullptr);
    EXPECT_EQ(use(0), 0);
    dlclose(library);
    EXPECT_EQ(dlopen((folder / "model.so").c_str(), RTLD_NOW | RTLD_NOLOAD), nullptr); // it is gone
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(RuntimeEmbed, GeneratedCodeCallsLibcAndLibmOnly) {
#define SYMBOL(name) EXPECT_TRUE(in_libc_or_libm(#name)) << #name;
#include "runtime/symbols.def"
#undef SYMBOL
}

} // namespace
