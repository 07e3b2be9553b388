// Files by the format's description: 00 00 TYPE RANK, dims and elements big endian.
#include "compiler/data/idx.h"
#include "data_test_files.h"
#include <zlib.h>

namespace trellis {
using namespace testing;

namespace {

std::string be(uint64_t v, int n) {
  std::string out;
  for (int i = n; i-- > 0;) out += char(v >> (8 * i));
  return out;
}

std::string idx(int type, std::vector<uint32_t> dims, const std::string &data) {
  std::string out = std::string(2, '\0') + char(type) + char(dims.size());
  for (uint32_t d : dims) out += be(d, 4);
  return out + data;
}

std::string gzip(const std::string &data) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(compressBound(data.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(data.data())), z.avail_in = uInt(data.size());
  z.next_out = reinterpret_cast<Bytef *>(out.data()), z.avail_out = uInt(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

} // namespace

TEST(Idx, ReadsEveryTypePlainAndGzipped) {
  TestFolder f;
  struct Case {
    int code;
    DType dtype;
    int size;
    uint64_t bits;
    double value;
  } cases[] = {{8, DType::u8, 1, 200, 200},           {9, DType::i8, 1, 0xfe, -2},
               {11, DType::i16, 2, 0xfeff, -257},     {12, DType::i32, 4, 0xfffefdfc, -66052},
               {13, DType::f32, 4, 0xc0200000, -2.5}, {14, DType::f64, 8, 0xc004000000000000, -2.5}};
  for (const Case &c : cases)
    for (bool zipped : {false, true}) {
      std::string bytes = idx(c.code, {2, 1}, be(0, c.size) + be(c.bits, c.size));
      Tensor t = read_idx(f.put("a", zipped ? gzip(bytes) : bytes));
      EXPECT_EQ(t.dtype(), c.dtype);
      EXPECT_EQ(t.dims(), (std::vector<int64_t>{2, 1}));
      EXPECT_EQ(t.get(1), c.value);
    }
  // gzip members may follow one another
  std::string bytes = idx(8, {4}, "abcd");
  EXPECT_EQ(read_idx(f.put("a", gzip(bytes.substr(0, 5)) + gzip(bytes.substr(5)))).get(3), 'd');
}

TEST(Idx, EveryTruncationAndTrailingByteIsAnError) {
  TestFolder f;
  std::string good = idx(11, {2, 3}, std::string(12, 'x'));
  for (std::string bytes : {good, gzip(good)})
    for (size_t n = 0; n < bytes.size(); ++n)
      expect_in("/a: error: ", error_of([&] { read_idx(f.put("a", bytes.substr(0, n))); }));
  expect_in("i16[2 x 3] needs 12 bytes of data, but more follow", error_of([&] { read_idx(f.put("a", good + "x")); }));
  expect_in("i16[2 x 3] needs 12 bytes of data, but more follow",
            error_of([&] { read_idx(f.put("a", gzip(good + "x"))); }));
  expect_in("truncated: i16[2 x 3] needs 12 bytes of data, found 7",
            error_of([&] { read_idx(f.put("a", good.substr(0, good.size() - 5))); }));
  expect_in("truncated: i16[2 x 3] needs 12 bytes of data, found 7",
            error_of([&] { read_idx(f.put("a", gzip(good.substr(0, good.size() - 5)))); }));
}

TEST(Idx, HostileFilesGiveErrors) {
  TestFolder f;
  auto error = [&](const std::string &bytes) { return error_of([&] { read_idx(f.put("a", bytes)); }); };
  expect_in("begins with 50 4b 03 04, expected 00 00 TYPE RANK", error("PK\3\4...."));
  expect_in("begins with 00 00 0a 01", error(idx(10, {1}, "x")));
  expect_in("too large", error(idx(14, {0xffffffff, 0xffffffff, 0xffffffff}, "x")));
  expect_in("truncated: u8[4294967295] needs 4294967295 bytes of data, found 1", error(idx(8, {0xffffffff}, "x")));
  expect_in("more than its gzip data can hold", error(gzip(idx(8, {0xffffffff}, "x"))));
  expect_in("no room for 255 dimensions", error(std::string("\0\0\x08\xff", 4)));
  std::string damaged = gzip(idx(8, {1000}, std::string(1000, 'x')));
  damaged[damaged.size() - 6] ^= 1; // the checksum
  expect_in("damaged gzip data: incorrect data check", error(damaged));
  expect_in("damaged gzip data", error(gzip(idx(8, {2}, "xx")) + "rest"));
  expect_in("is a folder", error_of([&] { read_idx(f / "."); }));
}

} // namespace trellis
