// Expected bytes follow the format's description: 8 bytes of header length, JSON, data.
#include "compiler/data/safetensors.h"
#include "data_test_files.h"

namespace trellis {
using namespace testing;

namespace {

std::string file_of(const std::string &json, const std::string &data = "") {
  std::string out;
  for (int i = 0; i < 8; ++i) out += char(uint64_t(json.size()) >> (8 * i));
  return out + json + data;
}

Tensor counting(DType dtype, std::vector<int64_t> dims) {
  Tensor t(dtype, std::move(dims));
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, double(i % 3));
  return t;
}

} // namespace

TEST(Safetensors, ReadsAFileWrittenByHand) {
  TestFolder f;
  std::string data("\0\0\x80\x3f\0\0\0\x40\x05\x01\0", 11);
  SafeTensors s =
      read_safetensors(f.put("a", file_of(R"({"__metadata__":{"k":"v","format":"pt"},)"
                                          R"("b":{"dtype":"BOOL","shape":[2],"data_offsets":[9,11]},)"
                                          R"("w":{"shape":[1,2],"data_offsets":[0,8],"dtype":"F32"},)"
                                          R"("s":{"dtype":"I8","shape":[],"data_offsets":[8,9]},)"
                                          R"("none":{"dtype":"I64","shape":[0,3],"data_offsets":[11,11]}}   )",
                                          data)));
  ASSERT_EQ(s.tensors.size(), 4u);
  EXPECT_EQ(s.tensors[0].name, "b");
  EXPECT_EQ(s.find("w")->dims(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(s.find("w")->get(0), 1);
  EXPECT_EQ(s.find("w")->get(1), 2);
  EXPECT_EQ(s.find("s")->get(0), 5);
  EXPECT_EQ(s.find("b")->get_int(0), 1);
  EXPECT_EQ(s.find("none")->size(), 0);
  EXPECT_EQ(s.find("x"), nullptr);
  EXPECT_EQ(*s.find_metadata("k"), "v");
  EXPECT_EQ(s.metadata[1].first, "format");
  EXPECT_TRUE(read_safetensors(f.put("a", file_of("{}"))).tensors.empty());
}

TEST(Safetensors, UnalignedTensorsAreRead) {
  TestFolder f;
  for (size_t pad = 0; pad < 8; ++pad) {
    std::string json =
        R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"d":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}})";
    SafeTensors s =
        read_safetensors(f.put("a", file_of(json + std::string(pad, ' '), std::string("\7\0\0\0\0\0\0\xf8\x3f", 9))));
    EXPECT_EQ(s.find("u")->get(0), 7);
    EXPECT_EQ(s.find("d")->get(0), 1.5);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(s.find("d")->data()) % 8, 0u);
  }
}

TEST(Safetensors, WritesTheBytesOfTheFormat) {
  TestFolder f;
  SafeTensors s;
  s.metadata = {{"z", "1"}, {"a", "\"2\""}};
  s.tensors.push_back({"b", counting(DType::u8, {3})});
  s.tensors.push_back({"w", counting(DType::f32, {1, 2})});
  write_safetensors(f / "a", s);
  std::string json = R"({"__metadata__":{"z":"1","a":"\"2\""},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},)"
                     R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  json += std::string(64 - (json.size() + 8) % 64, ' ');
  EXPECT_EQ(bytes_of(f / "a"), file_of(json, std::string("\0\0\0\0\0\0\x80\x3f\0\1\2", 11)));
}

TEST(Safetensors, RoundTripsEveryDtypeAndTheOldMappingOutlivesANewFile) {
  TestFolder f;
  SafeTensors s;
  for (int i = 0; i < kDTypeCount; ++i)
    s.tensors.push_back({std::string("t") + std::to_string(i), counting(DType(i), {i, 3})});
  s.tensors.push_back({"scalar \"quoted\" \n ü", counting(DType::f64, {})});
  write_safetensors(f / "a", s);
  SafeTensors back = read_safetensors(f / "a");
  ASSERT_EQ(back.tensors.size(), s.tensors.size());
  for (size_t i = 0; i < s.tensors.size(); ++i) {
    EXPECT_EQ(back.tensors[i].name, s.tensors[i].name);
    EXPECT_EQ(back.tensors[i].tensor, s.tensors[i].tensor);
  }
  std::string first = bytes_of(f / "a");
  back.tensors[1].tensor.set(0, 42); // the mapping is private
  EXPECT_EQ(bytes_of(f / "a"), first);
  write_safetensors(f / "a", SafeTensors{});
  for (size_t i = 2; i < s.tensors.size(); ++i) EXPECT_EQ(back.tensors[i].tensor, s.tensors[i].tensor);
  write_safetensors(f / "a", s);
  EXPECT_EQ(bytes_of(f / "a"), first);
}

TEST(Safetensors, EveryTruncationAndTrailingByteIsAnError) {
  TestFolder f;
  SafeTensors s;
  s.metadata = {{"k", "v"}};
  s.tensors.push_back({"w", counting(DType::f32, {2, 3})});
  s.tensors.push_back({"b", counting(DType::i16, {3})});
  write_safetensors(f / "good", s);
  std::string good = bytes_of(f / "good");
  for (size_t n = 0; n < good.size(); ++n)
    expect_in("/a: ", error_of([&] { read_safetensors(f.put("a", good.substr(0, n))); }));
  expect_in("31 bytes of data, but the tensors fill 30", error_of([&] { read_safetensors(f.put("a", good + "x")); }));
}

TEST(Safetensors, FlippedBytesNeverCrash) {
  TestFolder f;
  SafeTensors s;
  s.metadata = {{"k", "v"}};
  s.tensors.push_back({"w", counting(DType::f32, {2})});
  s.tensors.push_back({"b", counting(DType::boolean, {3})});
  write_safetensors(f / "good", s);
  std::string good = bytes_of(f / "good");
  size_t refused = 0;
  for (size_t i = 0; i < good.size(); ++i)
    for (int bit : {0, 1, 4, 7}) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ (1 << bit));
      try {
        read_safetensors(f.put("a", bad));
      } catch (const CompileError &) { ++refused; }
    }
  EXPECT_GT(refused, good.size());
}

TEST(Safetensors, HostileHeadersGiveErrors) {
  TestFolder f;
  auto error = [&](const std::string &json, const std::string &data = "12345678") {
    return error_of([&] { read_safetensors(f.put("a", file_of(json, data))); });
  };
  auto entry = [](const std::string &name, const std::string &dtype, const std::string &shape,
                  const std::string &offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  expect_in("tensor 'w': error: dtype 'F8_E4M3'", error("{" + entry("w", "F8_E4M3", "[8]", "[0,8]") + "}"));
  expect_in("tensor 'w': error: f32[3] needs 12 bytes, its data_offsets [0, 8] hold 8",
            error("{" + entry("w", "F32", "[3]", "[0,8]") + "}"));
  expect_in("ends at byte 16, but the file holds 8", error("{" + entry("w", "F32", "[4]", "[0,16]") + "}"));
  expect_in("tensor 'v': error: its data begins at byte 4, expected 8: tensors overlap",
            error("{" + entry("w", "F32", "[2]", "[0,8]") + "," + entry("v", "F32", "[1]", "[4,8]") + "}"));
  expect_in("tensors leave a hole", error("{" + entry("w", "F32", "[1]", "[4,8]") + "}"));
  expect_in("expected [begin, end]", error("{" + entry("w", "F32", "[1]", "[8,4]") + "}"));
  expect_in("expected [begin, end]", error("{" + entry("w", "F32", "[1]", "[8]") + "}"));
  expect_in("too large", error("{" + entry("w", "F32", "[4611686018427387904,4611686018427387904]", "[0,8]") + "}"));
  expect_in("too large", error("{" + entry("w", "F32", "[18446744073709551615]", "[0,8]") + "}"));
  expect_in("where a count should stand", error("{" + entry("w", "F32", "[-1]", "[0,8]") + "}"));
  expect_in("where a count should stand", error("{" + entry("w", "F32", "[1.5]", "[0,8]") + "}"));
  expect_in("where a count should stand", error("{" + entry("w", "F32", "[99999999999999999999999]", "[0,8]") + "}"));
  expect_in("an array where none may stand", error("{" + entry("w", "F32", "[[2]]", "[0,8]") + "}"));
  expect_in("key 'w' stands twice",
            error("{" + entry("w", "F32", "[2]", "[0,8]") + "," + entry("w", "F32", "[2]", "[0,8]") + "}"));
  expect_in("all needed", error(R"({"w":{"dtype":"F32"}})"));
  expect_in("a string where none", error(R"({"w":"x"})"));
  expect_in("a nested object", error(R"({"w":{"dtype":{}}})"));
  expect_in("a null", error(R"({"w":null})"));
  expect_in("a true or false", error(R"({"w":true})"));
  expect_in("a number where none", error(R"({"w":3})"));
  expect_in("a number where none", error(R"({"__metadata__":{"k":3}})"));
  expect_in("not JSON", error("{,}"));
  expect_in("not JSON", error("{} x"));
  expect_in("does not begin with '{'", error("[]"));
  expect_in("does not begin with '{'", error(""));
  expect_in("a nested object", error("{\"a\":{\"shape\":" + std::string(100000, '{')));
  expect_in("array where none", error("{\"a\":{\"shape\":" + std::string(100000, '[')));
  expect_in("element 1 is 2; expected 0 or 1", error("{" + entry("w", "BOOL", "[2]", "[0,2]") + "}", "\1\2"));
  expect_in("truncated: the header needs 99 bytes, found 2",
            error_of([&] { read_safetensors(f.put("a", std::string("\x63\0\0\0\0\0\0\0{}", 10))); }));
  expect_in("header would be", error_of([&] { read_safetensors(f.put("a", std::string(16, '\xff'))); }));
  expect_in("is a folder", error_of([&] { read_safetensors(f / "."); }));
}

TEST(Safetensors, FailedWritesLeaveTheOldFile) {
  TestFolder f;
  SafeTensors s;
  s.tensors.push_back({"w", Tensor(DType::f32, {100000})});
  f.put("a", "old");
  {
    FileSizeLimit limit(70000);
    EXPECT_EQ(error_of([&] { write_safetensors(f / "a", s); }), (f / "a") + ": error: cannot write: File too large");
  }
  EXPECT_EQ(bytes_of(f / "a"), "old");
  EXPECT_EQ(f.files(), 1u);
  expect_in("/dev/full: error: cannot write: No space left on device",
            error_of([&] { write_safetensors("/dev/full", s); }));
  s.tensors.push_back(s.tensors[0]);
  expect_in("tensor 'w' stands twice", error_of([&] { write_safetensors(f / "a", s); }));
  s.tensors[1].name = "\xff";
  expect_in("not UTF-8", error_of([&] { write_safetensors(f / "a", s); }));
  s.tensors[1].name = "__metadata__";
  expect_in("stands twice", error_of([&] { write_safetensors(f / "a", s); }));
  EXPECT_EQ(bytes_of(f / "a"), "old");
  EXPECT_EQ(f.files(), 1u);
}

} // namespace trellis
