#include "compiler/data/csv.h"
#include "data_test_files.h"

namespace trellis {
using namespace testing;

namespace {
using Target = CsvOptions::Target;
using Names = std::vector<std::string>;

std::vector<double> values(const Tensor &t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.size(); ++i) out.push_back(t.get(i));
  return out;
}
} // namespace

TEST(Csv, NumbersAndATextLabel) {
  TestFolder f;
  Dataset d = read_csv(f.put("a", "1,.5,zebra\r\n2,-1e2,ant\r\n+3, 4 ,zebra\r\n"));
  EXPECT_EQ(d.inputs.dims(), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(values(d.inputs), (std::vector<double>{1, .5, 2, -100, 3, 4}));
  EXPECT_EQ(values(d.targets), (std::vector<double>{1, 0, 1}));
  EXPECT_EQ(d.targets.dtype(), DType::i64);
  EXPECT_EQ(d.class_names, (Names{"ant", "zebra"}));
  EXPECT_EQ(d.classes, 2);
  EXPECT_EQ(d.feature_names, (Names{"c1", "c2"}));
  EXPECT_TRUE(d.notes.empty());
}

TEST(Csv, InputsOfIntegersAreWholeNumbers) {
  TestFolder f;
  Dataset d =
      read_csv(f.put("a", "7,-1e2,0.5\n9007199254740992,0,2\n"), {.target = Target::values, .dtype = DType::i64});
  EXPECT_EQ(d.inputs.dtype(), DType::i64);
  EXPECT_EQ(d.inputs.get_int(0), 7);
  EXPECT_EQ(d.inputs.get_int(1), -100);
  EXPECT_EQ(d.inputs.get_int(2), int64_t(1) << 53);
  EXPECT_EQ(values(d.targets), (std::vector<double>{0.5, 2}));
  try {
    read_csv(f.put("b", "1,2,a\n3,4.5,b\n"), {.dtype = DType::i32});
    ADD_FAILURE();
  } catch (const CompileError &e) {
    EXPECT_EQ(e.what(), (f / "b") + ":2:3: error: '4.5' in column 2 (c2) is not a whole number of i32");
  }
  EXPECT_EQ(values(read_csv(f.put("c", "-128,1\n127,1\n"), {.dtype = DType::i8}).inputs),
            (std::vector<double>{-128, 127}));
  for (const char *text : {"-129,1\n1,1\n", "128,1\n1,1\n"})
    EXPECT_THROW(read_csv(f.put("d", text), {.dtype = DType::i8}), CompileError);
  EXPECT_THROW(read_csv(f.put("e", "-1,1\n1,1\n"), {.dtype = DType::u8}), CompileError);
  EXPECT_THROW(read_csv(f.put("g", "1e300,1\n1,1\n"), {.dtype = DType::i64}), CompileError);
}

TEST(Csv, HeaderSeparatorQuotesAndLabelByName) {
  TestFolder f;
  std::string text = "\xef\xbb\xbf\"kind; of\";x;\"say \"\"y\"\"\"\n\"a;b\";1;2\n\n\"line\nbreak\";3;4";
  Dataset d = read_csv(f.put("a", text), {.label = "kind; of"});
  EXPECT_EQ(d.feature_names, (Names{"x", "say \"y\""}));
  EXPECT_EQ(values(d.inputs), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(d.class_names, (Names{"a;b", "line\nbreak"}));
  EXPECT_EQ(values(read_csv(f / "a", {.label = "1"}).targets), (std::vector<double>{0, 1}));
  // A header of numbers has to be named as one.
  f.put("b", "1,2\n3,4\n");
  EXPECT_EQ(read_csv(f / "b").size(), 2);
  EXPECT_EQ(read_csv(f / "b", {.header = true}).feature_names, Names{"1"});
}

TEST(Csv, NumericTargetsAreClassesOrValues) {
  TestFolder f;
  f.put("classes", "0,2\n0,10\n0,2\n0,10\n");
  Dataset d = read_csv(f / "classes");
  EXPECT_EQ(d.class_names, (Names{"2", "10"})); // by value, not by text
  EXPECT_EQ(values(d.targets), (std::vector<double>{0, 1, 0, 1}));
  d = read_csv(f / "classes", {.target = Target::values, .dtype = DType::f64});
  EXPECT_EQ(d.classes, 0);
  EXPECT_EQ(d.targets.dims(), (std::vector<int64_t>{4, 1}));
  EXPECT_EQ(d.targets.dtype(), DType::f64);
  EXPECT_EQ(d.inputs.dtype(), DType::f64);
  EXPECT_EQ(values(d.targets), (std::vector<double>{2, 10, 2, 10}));
  EXPECT_EQ(read_csv(f.put("a", "0,2.5\n0,1\n0,1\n0,1\n")).classes, 0);
  EXPECT_EQ(read_csv(f.put("a", "0,1\n0,2\n0,3\n0,3\n")).classes, 0);
  EXPECT_EQ(read_csv(f / "a", {.target = Target::classes}).classes, 3);
  EXPECT_EQ(read_csv(f.put("a", "0,1\n0,A\n0,2\n"), {.target = Target::classes}).class_names, (Names{"1", "2", "A"}));
}

TEST(Csv, MissingFieldsAndTextColumnsAreNoted) {
  TestFolder f;
  Dataset d = read_csv(f.put("a", "1,red,0\n?,red,0\n2,blue,1\n3,,1\nNA,red,1\n5,green,NaN\n6,green,0\n7,red,1\n"));
  EXPECT_EQ(values(d.inputs), (std::vector<double>{1, 2, 2, 0, 6, 1, 7, 2}));
  EXPECT_EQ(values(d.targets), (std::vector<double>{0, 1, 0, 1}));
  EXPECT_EQ(d.notes, (Names{"4 of 8 rows with a missing field are left out",
                            "column 2 (c2) is text: its 3 values are numbered in sorted order"}));
}

TEST(Csv, ErrorsNameFileLineAndColumn) {
  TestFolder f;
  auto error = [&](const std::string &text, const CsvOptions &options = {}) {
    return error_of([&] { read_csv(f.put("a", text), options); });
  };
  const std::string a = f / "a";
  EXPECT_EQ(error("1,2,3\n4,5\n"), a + ":2:4: error: the row has 2 field(s), expected 3 as in the first row");
  EXPECT_EQ(error("1,2\n4,5,6\n"), a + ":2:5: error: the row has more than 2 fields, the number in the first row");
  EXPECT_EQ(error("x,y\n1,0\n\n2.x,0\n3,1\n"),
            a + ":4:1: error: '2.x' is not a number, but others in column 1 (x) are");
  EXPECT_EQ(error("1,0\n2,inf\n"), a + ":2:3: error: 'inf' is not a number, but others in column 2 (c2) are");
  EXPECT_EQ(error("1,\"a\n2,b\n"), a + ":1:3: error: the quote has no end");
  EXPECT_EQ(error("1,\"a\"b,2\n"),
            a + ":1:6: error: text after the closing quote; expected ',' or the end of the line");
  EXPECT_EQ(error(""), a + ": error: holds no row");
  EXPECT_EQ(error("\n \r\n"), a + ": error: holds no row");
  EXPECT_EQ(error("a,b\n", {.header = true}), a + ": error: holds a header but no row");
  EXPECT_EQ(error("1,2\n", {.label = "z"}),
            a + ": error: no column 'z'; expected a number from 1 to 2 or one of: c1, c2");
  expect_in("no column '3'", error("1,2\n", {.label = "3"}));
  EXPECT_EQ(error("?,1\n"), a + ":1:1: error: every row has a missing field, such as this one");
  EXPECT_EQ(error("1,a\n", {.target = Target::values}), a + ":1:3: error: 'a' is not a number");
  expect_in("cannot open", error_of([&] { read_csv(f / "none"); }));
  // Any bytes give a data set or an error.
  std::string bytes;
  for (int i = 0; i < 4000; ++i) bytes += char((i * 7919) >> 3);
  for (size_t n = 0; n < bytes.size(); n += 37) {
    try {
      read_csv(f.put("a", bytes.substr(n)));
    } catch (const CompileError &) {}
  }
}

TEST(Csv, EveryTableOfTheTestDataLoads) {
  if (test_data().empty()) GTEST_SKIP() << "no test data";
  struct Case {
    const char *name;
    int64_t rows, features;
    int classes;
    size_t notes;
  } cases[] = {{"airline-passengers", 144, 1, 0, 1},
               {"banknote_authentication", 1372, 4, 2, 0},
               {"breast-cancer-wisconsin", 683, 9, 2, 1},
               {"housing", 506, 13, 0, 0},
               {"iris", 150, 4, 3, 0},
               {"wine", 178, 13, 3, 0},
               {"winequality-red", 1599, 11, 6, 0}};
  for (const Case &c : cases) {
    Dataset d = read_csv(test_data() + "/data/tabular/" + c.name + ".csv");
    EXPECT_EQ(d.inputs.dims(), (std::vector<int64_t>{c.rows, c.features})) << c.name;
    EXPECT_EQ(d.classes, c.classes) << c.name;
    EXPECT_EQ(d.notes.size(), c.notes) << c.name;
  }
  Dataset iris = read_csv(test_data() + "/data/tabular/iris.csv");
  EXPECT_EQ(iris.class_names, (Names{"Iris-setosa", "Iris-versicolor", "Iris-virginica"}));
  EXPECT_EQ(iris.targets.get_int(149), 2);
  EXPECT_EQ(iris.inputs.get(0), double(5.1f));
}

} // namespace trellis
