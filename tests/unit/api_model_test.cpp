// Models by the C interface: reading them, what they tell of themselves, options, building by nodes.
#include "tests/unit/api_model.h"
#include <cstring>
#include <fstream>

using namespace trellis::testing;

TEST(ApiModel, VersionAndStatusTexts) {
  EXPECT_EQ(trellis_compiler_api_version(), TRELLIS_COMPILER_API_MAJOR * 1000 + TRELLIS_COMPILER_API_MINOR);
  EXPECT_EQ(trellis_api_version(), TRELLIS_API_MAJOR * 1000 + TRELLIS_API_MINOR);
  for (int s = TRELLIS_OK; s <= TRELLIS_FAILED; ++s)
    EXPECT_STRNE(trellis_status_text(trellis_status(s)), "unknown status") << s;
  EXPECT_STREQ(trellis_status_text(trellis_status(TRELLIS_FAILED + 1)), "unknown status");
}

TEST(ApiModel, Lists) {
  ModelPtr m = parse_model(kLinear);
  EXPECT_STREQ(trellis_model_name(m.get()), "linear");
  EXPECT_EQ(trellis_model_count(m.get(), TRELLIS_INPUTS), 1u);
  EXPECT_EQ(trellis_model_count(m.get(), TRELLIS_OUTPUTS), 1u);
  EXPECT_EQ(trellis_model_count(m.get(), TRELLIS_PARAMS), 2u);
  EXPECT_EQ(trellis_model_count(m.get(), TRELLIS_STATES), 1u);
  const trellis_value_info *x = trellis_model_value(m.get(), TRELLIS_INPUTS, 0);
  ASSERT_NE(x, nullptr);
  EXPECT_STREQ(x->name, "x");
  EXPECT_EQ(x->dtype, TRELLIS_F32);
  EXPECT_EQ(x->rank, 2);
  EXPECT_EQ(x->dims[0], -1);
  EXPECT_STREQ(x->symbols[0], "N");
  EXPECT_EQ(x->dims[1], 2);
  EXPECT_EQ(x->symbols[1], nullptr);
  EXPECT_STREQ(x->type, "f32[N, 2]");
  EXPECT_STREQ(trellis_model_value(m.get(), TRELLIS_PARAMS, 1)->name, "b");
  EXPECT_STREQ(trellis_model_value(m.get(), TRELLIS_OUTPUTS, 0)->type, "f32[N, 3]");
  EXPECT_EQ(trellis_model_value(m.get(), TRELLIS_STATES, 0)->dtype, TRELLIS_I64);
  EXPECT_EQ(trellis_model_value(m.get(), TRELLIS_PARAMS, 2), nullptr);
  EXPECT_EQ(trellis_model_value(m.get(), trellis_list(9), 0), nullptr);
  EXPECT_EQ(trellis_model_count(m.get(), trellis_list(-1)), 0u);
  EXPECT_STREQ(trellis_model_dim(m.get(), 0), "N");
  EXPECT_EQ(trellis_model_dim(m.get(), 1), nullptr);
  ModelPtr again = parse_model(trellis_model_text(m.get()));
  EXPECT_STREQ(trellis_model_text(again.get()), trellis_model_text(m.get()));
}

TEST(ApiModel, MistakesInTextHaveTheirPlace) {
  char why[1024];
  trellis_model *m = reinterpret_cast<trellis_model *>(why); // must be overwritten
  const char *text = "trellis 1\ngraph @g(%x: f32[2, 3]) {\n  %y = rellu %x\n  return %y\n}\n";
  EXPECT_EQ(trellis_model_parse(text, "bad.trl", &m, why, sizeof why), TRELLIS_BAD_MODEL);
  EXPECT_EQ(m, nullptr);
  EXPECT_EQ(std::string(why).find("bad.trl:3:8: error: there is no op 'rellu'"), 0u) << why;
  char small[12];
  std::memset(small, 'x', sizeof small);
  EXPECT_EQ(trellis_model_parse(text, "bad.trl", &m, small, 8), TRELLIS_BAD_MODEL);
  EXPECT_STREQ(small, "bad.trl");
  EXPECT_EQ(small[8], 'x'); // nothing beyond the buffer
  EXPECT_EQ(trellis_model_parse(text, nullptr, &m, nullptr, 0), TRELLIS_BAD_MODEL);
}

TEST(ApiModel, Files) {
  char why[1024];
  trellis_model *m = nullptr;
  std::string path = temporary("missing.trl");
  EXPECT_EQ(trellis_model_load(path.c_str(), &m, why, sizeof why), TRELLIS_BAD_FILE);
  EXPECT_NE(std::string(why).find(path), std::string::npos) << why;
  path = temporary("empty.trl");
  std::ofstream(path).flush();
  EXPECT_EQ(trellis_model_load(path.c_str(), &m, why, sizeof why), TRELLIS_BAD_MODEL);
  EXPECT_EQ(m, nullptr);
  EXPECT_EQ(trellis_model_load(TRELLIS_SOURCE_DIR "/examples/lenet.trl", &m, why, sizeof why), TRELLIS_OK) << why;
  ModelPtr lenet(m);
  EXPECT_STREQ(trellis_model_name(m), "lenet");
  EXPECT_EQ(trellis_model_count(m, TRELLIS_PARAMS), 10u);
}

TEST(ApiModel, NullIsRefused) {
  trellis_model *m = nullptr;
  EXPECT_EQ(trellis_model_load(nullptr, &m, nullptr, 0), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_load("x", nullptr, nullptr, 0), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_parse(nullptr, nullptr, &m, nullptr, 0), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_parse("", "", nullptr, nullptr, 0), TRELLIS_BAD_POINTER);
  trellis_model_destroy(nullptr);
  EXPECT_STREQ(trellis_model_error(nullptr), "");
  EXPECT_STREQ(trellis_model_name(nullptr), "");
  EXPECT_STREQ(trellis_model_text(nullptr), "");
  EXPECT_EQ(trellis_model_count(nullptr, TRELLIS_INPUTS), 0u);
  EXPECT_EQ(trellis_model_value(nullptr, TRELLIS_INPUTS, 0), nullptr);
  EXPECT_EQ(trellis_model_dim(nullptr, 0), nullptr);
  EXPECT_EQ(trellis_model_bind_dim(nullptr, "N", 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set_threads(nullptr, 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set_target(nullptr, "host"), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set_seed(nullptr, 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set_training(nullptr, "adam", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_compile(nullptr, TRELLIS_FORM_MODEL, nullptr, 0, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_run(nullptr, TRELLIS_FORM_MODEL, nullptr, 0, nullptr, 0), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_train_step(nullptr, nullptr, 0, nullptr, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_get(nullptr, "w", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set(nullptr, "w", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_save_weights(nullptr, "f"), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_load_weights(nullptr, "f"), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_export(nullptr, TRELLIS_FORM_MODEL, TRELLIS_EXPORT_OBJECT, "f"), TRELLIS_BAD_POINTER);
  ModelPtr scale = parse_model(kScale);
  m = scale.get();
  EXPECT_EQ(trellis_model_bind_dim(m, nullptr, 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set_target(m, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set_training(m, nullptr, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_get(m, nullptr, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_get(m, "w", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_set(m, "w", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_save_weights(m, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_load_weights(m, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_model_export(m, TRELLIS_FORM_MODEL, TRELLIS_EXPORT_OBJECT, nullptr), TRELLIS_BAD_POINTER);
}

TEST(ApiModel, Options) {
  ModelPtr m = parse_model(kScale);
  EXPECT_REFUSED(m, trellis_model_bind_dim(m.get(), "M", 1), TRELLIS_BAD_NAME, "no dim 'M'");
  EXPECT_REFUSED(m, trellis_model_bind_dim(m.get(), "N", -7), TRELLIS_BAD_DIMS, "-7");
  EXPECT_REFUSED(m, trellis_model_set_threads(m.get(), 0), TRELLIS_BAD_THREADS, "1 to 512");
  EXPECT_REFUSED(m, trellis_model_set_threads(m.get(), 513), TRELLIS_BAD_THREADS, "513");
  EXPECT_REFUSED(m, trellis_model_set_target(m.get(), "z80"), TRELLIS_BAD_OPTION, "z80");
  EXPECT_REFUSED(m, trellis_model_set_training(m.get(), "adam:rate=1", nullptr), TRELLIS_BAD_OPTION, "rate");
  EXPECT_REFUSED(m, trellis_model_set_training(m.get(), "adam", "guess"), TRELLIS_BAD_OPTION, "cross_entropy");
  EXPECT_OK(m, trellis_model_set_threads(m.get(), 2));
  EXPECT_STREQ(trellis_model_error(m.get()), "");
}

namespace {
struct DestroyGraph {
  void operator()(trellis_graph *g) const { trellis_graph_destroy(g); }
};
} // namespace

TEST(ApiGraph, NodeByNode) {
  trellis_graph *g = nullptr;
  ASSERT_EQ(trellis_graph_create("net", &g), TRELLIS_OK);
  std::unique_ptr<trellis_graph, DestroyGraph> owner(g);
  EXPECT_EQ(trellis_graph_input(g, "x", "f32[N, 2]"), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_param(g, "w/0", "f32[2, 2]", "one"), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_node(g, "p", "dot", (const char *const[]){"x", "w/0"}, 2, nullptr), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_node(g, "q", "add", (const char *const[]){"p", "0.5"}, 2, ""), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_append(g, "%r = reduce %q, kind=max, axes=[1]\n%s = neg %r"), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_node(g, "t", "reduce", (const char *const[]){"s"}, 1, "kind=sum, axes=[0]"), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_output(g, "t"), TRELLIS_OK);
  char why[1024];
  trellis_model *made = nullptr;
  ASSERT_EQ(trellis_graph_model(g, &made, why, sizeof why), TRELLIS_OK) << why;
  ModelPtr m(made);
  // -sum over samples of max(x0 + x1 + 0.5)
  Floats x("x", {2, 2}, {1, 2, -3, 1}), t("t", {}, {0});
  trellis_named_tensor in = x, out = t;
  EXPECT_OK(m, trellis_model_run(m.get(), TRELLIS_FORM_MODEL, &in, 1, &out, 1));
  EXPECT_EQ(t.values[0], -(3.5f - 1.5f));
}

TEST(ApiGraph, Refusals) {
  trellis_graph *g = nullptr;
  EXPECT_EQ(trellis_graph_create(nullptr, &g), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_graph_create("a b", &g), TRELLIS_BAD_NAME);
  EXPECT_EQ(trellis_graph_create("net", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(g, nullptr);
  EXPECT_EQ(trellis_graph_input(nullptr, "x", "f32[]"), TRELLIS_BAD_POINTER);
  trellis_graph_destroy(nullptr);
  ASSERT_EQ(trellis_graph_create("net", &g), TRELLIS_OK);
  std::unique_ptr<trellis_graph, DestroyGraph> owner(g);
  EXPECT_EQ(trellis_graph_input(g, "x\"", "f32[]"), TRELLIS_BAD_NAME);
  EXPECT_EQ(trellis_graph_input(g, "x", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_graph_input(g, "x", "f32[2]) {\n"), TRELLIS_BAD_MODEL);
  EXPECT_EQ(trellis_graph_node(g, "y", "neg", nullptr, 1, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_graph_input(g, "x", "f32[2]"), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_node(g, "y", "nega", (const char *const[]){"x"}, 1, nullptr), TRELLIS_OK);
  EXPECT_EQ(trellis_graph_output(g, "z"), TRELLIS_OK);
  char why[1024];
  trellis_model *m = nullptr;
  EXPECT_EQ(trellis_graph_model(g, &m, why, sizeof why), TRELLIS_BAD_MODEL);
  EXPECT_NE(std::string(why).find("net:3:"), std::string::npos) << why;
  EXPECT_NE(std::string(why).find("there is no op 'nega'"), std::string::npos) << why;
  EXPECT_EQ(trellis_graph_model(nullptr, &m, why, sizeof why), TRELLIS_BAD_POINTER);
}
