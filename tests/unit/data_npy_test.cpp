// Expected bytes follow NumPy's format description (numpy.lib.format); none come from our writer.
#include "compiler/data/npy.h"
#include "compiler/data/npz.h"
#include "data_test_files.h"
#include <bit>
#include <cmath>
#include <zlib.h>

namespace trellis {
using namespace testing;

namespace {

std::string npy(const std::string &dict, const std::string &data, int version = 1) {
  std::string out = std::string("\x93NUMPY") + char(version) + '\0';
  std::string text = dict + "\n";
  out += char(text.size() & 255);
  out += char(text.size() >> 8);
  if (version > 1) out += std::string(2, '\0');
  return out + text + data;
}

std::string dict(const std::string &descr, const std::string &shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}

std::string le(uint64_t v, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += char(v >> (8 * i));
  return out;
}
std::string be(uint64_t v, int n) {
  std::string out = le(v, n);
  return {out.rbegin(), out.rend()};
}

std::vector<double> values(const Tensor &t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.size(); ++i) out.push_back(t.get(i));
  return out;
}

/// A zip archive by the specification (APPNOTE), with one member; `zip64` puts its sizes into the extra
/// field.
std::string zip(const std::string &name, const std::string &data, bool deflated = false, bool zip64 = false,
                int64_t claimed_size = -1) {
  uint32_t crc = uint32_t(crc32(0, reinterpret_cast<const Bytef *>(data.data()), uInt(data.size())));
  std::string body = data;
  if (deflated) {
    z_stream z{};
    deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    body.resize(compressBound(data.size()) + 64);
    z.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(data.data())), z.avail_in = uInt(data.size());
    z.next_out = reinterpret_cast<Bytef *>(body.data()), z.avail_out = uInt(body.size());
    deflate(&z, Z_FINISH);
    body.resize(z.total_out);
    deflateEnd(&z);
  }
  uint64_t size = claimed_size < 0 ? data.size() : uint64_t(claimed_size);
  std::string extra = zip64 ? le(1, 2) + le(16, 2) + le(size, 8) + le(body.size(), 8) : "";
  std::string common = le(zip64 ? 45 : 20, 2) + le(0, 2) + le(deflated ? 8 : 0, 2) + le(0, 2) + le(33, 2) + le(crc, 4) +
                       le(zip64 ? 0xffffffff : body.size(), 4) + le(zip64 ? 0xffffffff : size, 4) + le(name.size(), 2) +
                       le(extra.size(), 2);
  std::string local = "PK\3\4" + common + name + extra + body;
  std::string central =
      "PK\1\2" + le(45, 2) + common + le(0, 2) + le(0, 2) + le(0, 2) + le(0, 4) + le(0, 4) + name + extra;
  std::string end = "PK\5\6" + le(0, 4) + le(1, 2) + le(1, 2) + le(central.size(), 4) + le(local.size(), 4) + le(0, 2);
  return local + central + end;
}

} // namespace

TEST(Npy, ReadsEveryDtypeInBothByteOrders) {
  TestFolder f;
  struct Case {
    std::string code;
    DType dtype;
    int size;
    uint64_t bits;
    double value;
  } cases[] = {{"f2", DType::f16, 2, 0xc100, -2.5},
               {"f4", DType::f32, 4, 0xc0200000, -2.5},
               {"f8", DType::f64, 8, 0xc004000000000000, -2.5},
               {"i1", DType::i8, 1, 0xfe, -2},
               {"i2", DType::i16, 2, 0xfeff, -257},
               {"i4", DType::i32, 4, 0xfffefdfc, -66052},
               {"i8", DType::i64, 8, 0xffffffffffff0001, -65535},
               {"u1", DType::u8, 1, 0xfe, 254},
               {"u2", DType::u16, 2, 0xfe01, 65025},
               {"u4", DType::u32, 4, 0xfe010203, 4261478915},
               {"u8", DType::u64, 8, 0x0001020304050607, 283686952306183},
               {"b1", DType::boolean, 1, 1, 1},
               {"?", DType::boolean, 1, 7, 1}}; // any non-zero byte is true
  for (const Case &c : cases)
    for (std::string order : {"<", ">", "|", "="}) {
      std::string data = order == ">" ? be(c.bits, c.size) : le(c.bits, c.size);
      Tensor t = read_npy(f.put("a.npy", npy(dict(order + c.code, "(1,)"), data)));
      EXPECT_EQ(t.dtype(), c.dtype) << c.code;
      EXPECT_EQ(t.dims(), std::vector<int64_t>{1});
      EXPECT_EQ(t.get(0), c.value) << order << c.code;
      if (c.dtype == DType::boolean) { EXPECT_EQ(t.get_int(0), 1); }
    }
}

TEST(Npy, ReadsVersionsShapesAndSpellings) {
  TestFolder f;
  std::string six;
  for (int i = 0; i < 6; ++i) six += le(uint64_t(i), 4);
  for (int version : {1, 2, 3})
    EXPECT_EQ(read_npy(f.put("a", npy(dict("<i4", "(2, 3)"), six, version))).dims(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(read_npy(f.put("a", npy(dict("<i4", "()"), six.substr(0, 4)))).rank(), 0);
  EXPECT_EQ(read_npy(f.put("a", npy(dict("<i4", "(3, 0, 2)"), ""))).dims(), (std::vector<int64_t>{3, 0, 2}));
  EXPECT_EQ(read_npy(f.put("a", npy("{\"shape\":(6L,),\"fortran_order\":False,\"descr\":\"<i4\"}   ", six))).size(), 6);
}

TEST(Npy, FortranOrderBecomesRowMajor) {
  TestFolder f;
  // Element (i, j, k) of a 2 x 3 x 2 array holds 100 i + 10 j + k; the file runs over i first.
  std::string data;
  std::vector<double> expected;
  for (int k = 0; k < 2; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) data += be(uint64_t(100 * i + 10 * j + k), 2);
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 2; ++k) expected.push_back(100 * i + 10 * j + k);
  EXPECT_EQ(values(read_npy(f.put("a", npy(dict(">i2", "(2, 3, 2)", true), data)))), expected);

  // More than one piece of the reader's buffer.
  int rows = 300, columns = 200;
  data.clear();
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < rows; ++i) data += le(std::bit_cast<uint64_t>(double(i * 1000 + j)), 8);
  Tensor t = read_npy(f.put("a", npy(dict("<f8", "(300, 200)", true), data)));
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) ASSERT_EQ(t.as<double>()[size_t(i * columns + j)], i * 1000 + j);
}

TEST(Npy, WritesTheBytesThatNumpyWrites) {
  TestFolder f;
  Tensor t(DType::f32, {2, 1});
  t.set(0, 1), t.set(1, -2);
  write_npy(f / "a.npy", t);
  // 10 bytes, then the text padded with spaces to a multiple of 64 that ends in a newline.
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  std::string expected = std::string("\x93NUMPY\1\0", 8) + le(118, 2) + text + std::string(117 - text.size(), ' ') +
                         "\n" + le(0x3f800000, 4) + le(0xc0000000, 4);
  EXPECT_EQ(bytes_of(f / "a.npy"), expected);
  write_npy(f / "v.npy", Tensor(DType::u8, {3}));
  expect_in("'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", bytes_of(f / "v.npy"));
  write_npy(f / "s.npy", Tensor(DType::boolean, {}));
  expect_in("'descr': '|b1', 'fortran_order': False, 'shape': (), }", bytes_of(f / "s.npy"));
}

TEST(Npy, RoundTripsEveryDtype) {
  TestFolder f;
  for (int i = 0; i < kDTypeCount; ++i) {
    Tensor t(DType(i), {3, 5});
    for (int64_t k = 0; k < 15; ++k) t.set(k, double(k % 2 ? k : k * 3));
    if (DType(i) == DType::bf16) {
      expect_in("a.npy: error: NumPy has no bf16: cast the tensor to f32 first",
                error_of([&] { write_npy(f / "a.npy", t); }));
      continue;
    }
    write_npy(f / "a.npy", t);
    EXPECT_EQ(read_npy(f / "a.npy"), t) << name(DType(i));
  }
}

TEST(Npy, EveryTruncationAndTrailingByteIsAnError) {
  TestFolder f;
  for (bool fortran : {false, true}) {
    std::string good = npy(dict("<i2", "(2, 3)", fortran), std::string(12, 'x'));
    EXPECT_EQ(read_npy(f.put("a", good)).size(), 6);
    for (size_t n = 0; n < good.size(); ++n)
      expect_in("/a: error: ", error_of([&] { read_npy(f.put("a", good.substr(0, n))); }));
    expect_in("bytes after the array: i16[2 x 3] needs 12 bytes of data, found 13",
              error_of([&] { read_npy(f.put("a", good + "x")); }));
  }
  expect_in("truncated: i16[2 x 3] needs 12 bytes of data, found 5",
            error_of([&] { read_npy(f.put("a", npy(dict("<i2", "(2, 3)"), "12345"))); }));
}

TEST(Npy, HostileHeadersGiveErrors) {
  TestFolder f;
  auto error = [&](const std::string &bytes) { return error_of([&] { read_npy(f.put("a", bytes)); }); };
  std::string d = std::string(8, 'x');
  expect_in("not an npy array", error("PK\3\4 something else entirely"));
  expect_in("npy format version 9.0; expected 1 to 3", error(npy(dict("<f4", "(2,)"), d, 9)));
  expect_in("too large", error(npy(dict("<f4", "(4611686018427387904, 4)"), d)));
  expect_in("too large", error(npy(dict("<f4", "(99999999999999999999999,)"), d)));
  expect_in("too large", error(npy(dict("<f4", "(0, 4611686018427387904, 4611686018427387904)"), "")));
  expect_in("truncated: f32[1000000000000] needs 4000000000000 bytes of data, found 8",
            error(npy(dict("<f4", "(1000000000000,)"), d)));
  expect_in("not negative", error(npy(dict("<f4", "(-2,)"), d)));
  expect_in("'<c8'", error(npy(dict("<c8", "(1,)"), d)));
  expect_in("'|O'", error(npy(dict("|O", "(1,)"), d)));
  expect_in("'\\x01'", error(npy(dict("\1", "(1,)"), d)));
  expect_in("''", error(npy(dict("", "(1,)"), d)));
  expect_in("structured dtype", error(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", d)));
  expect_in("column 2: expected a quoted string", error(npy("{descr: 1}", d)));
  expect_in("all needed", error(npy("{'descr': '<f4', 'shape': (2,)}", d)));
  expect_in("twice", error(npy("{'descr': '<f4', 'descr': '<f4'}", d)));
  expect_in("after the closing brace", error(npy(dict("<f4", "(2,)") + "}", d)));
  expect_in("True or False", error(npy("{'fortran_order': 1}", d)));
  expect_in("no end", error(npy("{'descr", d)));
  std::string dims;
  for (int i = 0; i < 65; ++i) dims += "1,";
  expect_in("more than 64 dimensions", error(npy(dict("<f4", "(" + dims + ")"), d)));
  std::string long_header = npy(dict("<f4", "(2,)"), d, 2);
  long_header[11] = '\x7f';
  expect_in("claims 21", error(long_header));
  expect_in("is a folder", error_of([&] { read_npy(f / "."); }));
  expect_in("/dev/null: error: is not a regular file", error_of([&] { read_npy("/dev/null"); }));
  expect_in("nothing.npy: error: cannot open: No such file", error_of([&] { read_npy(f / "nothing.npy"); }));
}

TEST(Npz, ReadsStoredDeflatedAndZip64Members) {
  TestFolder f;
  std::string array = npy(dict("<f4", "(2,)"), le(0x3f800000, 4) + le(0x40000000, 4));
  for (bool deflated : {false, true})
    for (bool zip64 : {false, true}) {
      std::vector<NamedTensor> all = read_npz(f.put("a.npz", zip("in:x.npy", array, deflated, zip64)));
      ASSERT_EQ(all.size(), 1u);
      EXPECT_EQ(all[0].name, "in:x");
      EXPECT_EQ(values(all[0].tensor), (std::vector<double>{1, 2}));
    }
}

TEST(Npz, DamageNamesFileAndMember) {
  TestFolder f;
  auto error = [&](const std::string &bytes) { return error_of([&] { read_npz(f.put("a.npz", bytes)); }); };
  std::string array = npy(dict("<f4", "(20,)"), std::string(80, 'a'));
  for (bool deflated : {false, true}) {
    std::string good = zip("w.npy", array, deflated);
    for (size_t n = 0; n < good.size(); ++n) expect_in("/a.npz: ", error(good.substr(0, n)));
    // A byte of the data changed: the checksum tells.
    std::string bad = zip("w.npy", array, deflated);
    bad[30 + 5 + (deflated ? 40 : 120)] ^= 1;
    expect_in("/a.npz: member 'w", error(bad));
    // A size that is not the data's.
    for (int64_t claim : {int64_t(1), int64_t(array.size()) - 1, int64_t(array.size()) + 1, int64_t(1) << 60})
      expect_in("/a.npz: member 'w", error(zip("w.npy", array, deflated, true, claim)));
  }
  expect_in("member 'w': error: ", error(zip("w.npy", npy(dict("<f4", "(30,)"), std::string(80, 'a')))));
  expect_in("member 'readme.txt': error: is not an array", error(zip("readme.txt", "hello")));
  expect_in("member 'w': error: not an npy array", error(zip("w.npy", std::string(100, 'z'))));
  expect_in("not a usable npz", error("hello"));
  expect_in("cannot open", error_of([&] { read_npz(f / "none.npz"); }));
}

TEST(Npz, RoundTripsAndItsBytesDependOnContentsOnly) {
  TestFolder f;
  std::vector<NamedTensor> all;
  all.push_back({"in:x", Tensor(DType::f32, {3, 4})});
  all.push_back({"b/ü", Tensor(DType::i64, {})});
  all.push_back({"empty", Tensor(DType::u8, {0, 5})});
  all.push_back({"large", Tensor(DType::f64, {1000})});
  for (int64_t i = 0; i < 1000; ++i) all[3].tensor.set(i, std::sqrt(double(i)));
  all[1].tensor.set_int(0, -5);
  for (bool deflate : {false, true}) {
    write_npz(f / "a.npz", all, deflate);
    std::vector<NamedTensor> back = read_npz(f / "a.npz");
    ASSERT_EQ(back.size(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(back[i].name, all[i].name);
      EXPECT_EQ(back[i].tensor, all[i].tensor);
    }
    NpzReader reader(f / "a.npz");
    EXPECT_EQ(reader.read("large"), all[3].tensor);
    EXPECT_EQ(reader.read("in:x"), all[0].tensor);
    expect_in("no array 'y'; it holds: in:x, b/ü, empty, large", error_of([&] { reader.read("y"); }));
    std::filesystem::create_directory(f / "sub");
    ::setenv("TZ", "Asia/Tokyo", 1);
    write_npz(f / "sub/other.npz", all, deflate);
    EXPECT_EQ(bytes_of(f / "sub/other.npz"), bytes_of(f / "a.npz"));
    expect_in(std::string("\x21\0", 2), bytes_of(f / "a.npz").substr(12, 2)); // 1980-01-01, whatever the time is
  }
  write_npz(f / "none.npz", {});
  EXPECT_TRUE(read_npz(f / "none.npz").empty());
}

TEST(Npz, FailedWritesLeaveTheOldFile) {
  TestFolder f;
  std::vector<NamedTensor> all;
  all.push_back({"w", Tensor(DType::f32, {100000})});
  f.put("a.npz", "old");
  {
    FileSizeLimit limit(5000);
    EXPECT_EQ(error_of([&] { write_npz(f / "a.npz", all); }), (f / "a.npz") + ": error: cannot write: File too large");
  }
  EXPECT_EQ(bytes_of(f / "a.npz"), "old");
  EXPECT_EQ(f.files(), 1u);
  expect_in("/dev/full: error: cannot write: No space left on device", error_of([&] { write_npz("/dev/full", all); }));
  all.push_back(all[0]);
  expect_in("member 'w': error: stands twice", error_of([&] { write_npz(f / "a.npz", all); }));
  all[1] = {"h", Tensor(DType::bf16, {1})};
  expect_in("member 'h': error: NumPy has no bf16", error_of([&] { write_npz(f / "a.npz", all); }));
  EXPECT_EQ(f.files(), 1u);
}

TEST(Npz, ReadsTheReferenceFiles) {
  if (test_data().empty()) GTEST_SKIP() << "no test data";
  std::vector<NamedTensor> all = read_npz(test_data() + "/curves/mlp-mnist-sgd.npz");
  const Tensor *w = find(all, "init:1.weight"), *loss = find(all, "loss");
  ASSERT_TRUE(w && loss);
  EXPECT_EQ(w->dims(), (std::vector<int64_t>{256, 784}));
  EXPECT_EQ(loss->size(), 300);
  EXPECT_NEAR(loss->get(0), std::log(10.0), 0.1); // an untrained classifier of ten classes
}

} // namespace trellis
