// Streaming models from files, run over real sound with the state that they ask for carried from call to call.
#include "compiler/compile.h"
#include "compiler/data/npz.h"
#include "compiler/executable.h"
#include "compiler/frontend/carry.h"
#include "compiler/frontend/state.h"
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>

namespace trellis {
namespace {

std::string models_folder() {
  const char *set = std::getenv("TRELLIS_TESTDATA");
  return (set ? std::string(set) : TRELLIS_SOURCE_DIR "/../shared") + "/onnx/models/";
}

struct Stream {
  explicit Stream(const std::string &name)
      : path(models_folder() + name + ".onnx"), data(models_folder() + name + ".real.npz") {}
  bool present() const { return std::filesystem::exists(path) && std::filesystem::exists(data); }
  std::string path, data;
};

Session session(const Stream &s, const LoadOptions &load, const std::vector<Carry> &carries) {
  Model m = load_model(s.path, load);
  carry(m, carries);
  Session out(compile(*m.graph));
  set_states(out, m.weights);
  return out;
}

class VoiceActivity : public ::testing::TestWithParam<const char *> {};

// A call takes a chunk behind the end of the one before it (the context), and gives the probability of speech.
TEST_P(VoiceActivity, FollowsTheReference) {
  Stream s(GetParam());
  if (!s.present()) GTEST_SKIP() << "no " << s.data << " (set TRELLIS_TESTDATA)";
  NpzReader file(s.data);
  Tensor audio = file.read("audio"), probs = file.read("probs");
  int64_t chunk = file.read("chunk").get_int(0), context = file.read("context").get_int(0);
  ASSERT_GT(probs.size(), 10);
  Tensor x(DType::f32, {1, context + chunk}), rate = Tensor::scalar_int(DType::i64, 16000),
                                              state(DType::f32, {2, 1, 128});
  Session run = session(s, {{}, {{"input", x}, {"sr", rate}, {"state", state}}, Reading::exact}, {{"stateN", "state"}});
  double largest = 0;
  for (int64_t i = 0; i < probs.size(); ++i) {
    for (int64_t k = 0; k < context + chunk; ++k) {
      int64_t at = i * chunk + k - context;
      x.set(k, at >= 0 && at < audio.size() ? audio.get(at) : 0);
    }
    std::vector<NamedTensor> inputs{{"input", x}};
    if (trellis_input_find(&run.executable().program(), "sr") >= 0) inputs.push_back({"sr", rate});
    std::vector<NamedTensor> results = run.run(std::span<const NamedTensor>(inputs));
    double d = std::fabs(find(results, "output")->get(0) - probs.get(i));
    ASSERT_FALSE(std::isnan(d)) << i;
    largest = std::max(largest, d);
  }
  EXPECT_LT(largest, 1e-4);
}
INSTANTIATE_TEST_SUITE_P(Models, VoiceActivity,
                         ::testing::Values("silero-vad-v6", "silero-vad-ifless", "silero-vad-16k-op15"));

// A call takes one frame of a spectrum and three caches.
TEST(SpeechEnhancement, FollowsTheReference) {
  Stream s("gtcrn-simple");
  if (!s.present()) GTEST_SKIP() << "no " << s.data << " (set TRELLIS_TESTDATA)";
  NpzReader file(s.data);
  Tensor mix = file.read("mix"), expected = file.read("enh");
  Session run = session(
      s, {}, {{"conv_cache_out", "conv_cache"}, {"tra_cache_out", "tra_cache"}, {"inter_cache_out", "inter_cache"}});
  double largest = 0, error = 0;
  for (int64_t i = 0, n = mix.size() / mix.dims()[0]; i < mix.dims()[0]; ++i) {
    Tensor x(DType::f32, {1, 257, 1, 2});
    std::memcpy(x.data(), mix.data() + i * x.bytes(), size_t(x.bytes()));
    std::vector<NamedTensor> inputs{{"mix", x}}, results = run.run(std::span<const NamedTensor>(inputs));
    for (int64_t k = 0; k < n; ++k) {
      double want = expected.get(i * n + k), d = std::fabs(find(results, "enh")->get(k) - want);
      ASSERT_FALSE(std::isnan(d)) << i;
      largest = std::max(largest, std::fabs(want)), error = std::max(error, d);
    }
  }
  EXPECT_GT(largest, 0);
  EXPECT_LT(error, 1e-4 * largest);
  Tensor first = file.read("conv_cache");
  Tensor last = run.state("conv_cache");
  ASSERT_EQ(last.type(), first.type());
  for (int64_t k = 0; k < last.size(); ++k) ASSERT_NEAR(last.get(k), first.get(k), 1e-3) << k;
}

} // namespace
} // namespace trellis
