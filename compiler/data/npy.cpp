#include "compiler/data/npy.h"
#include "compiler/data/atomic_file.h"
#include "compiler/data/input.h"
#include <array>
#include <bit>
#include <cstring>
#include <fmt/format.h>

static_assert(std::endian::native == std::endian::little, "tensor files are little endian and copied as they are");

namespace trellis {

namespace {

constexpr size_t kLongestHeader = 65535; // numpy itself needs version 2 only for structured dtypes
constexpr int kMostDims = 64;            // as numpy 2

struct Descr {
  DType dtype;
  std::string_view code;
};
constexpr Descr kDescrs[] = {
    {DType::f16, "f2"}, {DType::f32, "f4"}, {DType::f64, "f8"}, {DType::i8, "i1"},
    {DType::i16, "i2"}, {DType::i32, "i4"}, {DType::i64, "i8"}, {DType::u8, "u1"},
    {DType::u16, "u2"}, {DType::u32, "u4"}, {DType::u64, "u8"}, {DType::boolean, "b1"},
};

struct Header {
  DType dtype = DType::f32;
  bool big_endian = false, fortran = false;
  std::vector<int64_t> dims;
};

/// The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
public:
  HeaderParser(std::string_view text, const Location &where) : text_(text), where_(where) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> fortran;
    std::optional<std::vector<int64_t>> dims;
    expect('{');
    while (!eat('}')) {
      std::string key = string();
      expect(':');
      if (key == "descr" && !descr) {
        if (peek() == '[') fail("a structured dtype; expected a plain one such as '<f4'");
        descr = string();
      } else if (key == "fortran_order" && !fortran)
        fortran = boolean();
      else if (key == "shape" && !dims)
        dims = tuple();
      else
        fail(fmt::format("key {} is unknown or stands twice", quote_name(key)));
      if (!eat(',')) {
        expect('}');
        break;
      }
    }
    if (peek()) fail("text after the closing brace");
    if (!descr || !fortran || !dims) fail("'descr', 'fortran_order' and 'shape' are all needed");
    Header h{.fortran = *fortran, .dims = std::move(*dims)};
    set_dtype(h, *descr);
    return h;
  }

private:
  [[noreturn]] void fail(std::string_view text) const {
    throw CompileError(where_, fmt::format("npy header, column {}: {}", at_ + 1, text));
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool eat(char c) { return peek() == c && c ? (++at_, true) : false; }
  void expect(char c) {
    if (!eat(c)) fail(fmt::format("expected '{}'", c));
  }
  std::string string() {
    char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected a quoted string");
    size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("the quoted string has no end");
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }
  bool boolean() {
    peek();
    for (bool value : {true, false}) {
      std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    fail("expected True or False");
  }
  int64_t integer() {
    if (peek() < '0' || peek() > '9') fail("expected a dimension: a number that is not negative");
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text_[at_] - '0', &value))
        fail("the dimension is too large");
    eat('L'); // written by Python 2
    return value;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> dims;
    expect('(');
    while (!eat(')')) {
      if (dims.size() == kMostDims) fail(fmt::format("more than {} dimensions", kMostDims));
      dims.push_back(integer());
      if (!eat(',')) {
        expect(')');
        break;
      }
    }
    return dims;
  }
  void set_dtype(Header &h, std::string_view descr) const {
    std::string_view code = descr;
    if (!code.empty() && std::string_view("<>|=").find(code[0]) != std::string_view::npos) {
      h.big_endian = code[0] == '>';
      code.remove_prefix(1);
    }
    if (code == "?") code = "b1";
    for (const Descr &d : kDescrs)
      if (d.code == code) {
        h.dtype = d.dtype;
        return;
      }
    throw CompileError(where_,
                       fmt::format("the array's dtype is {}; expected floats f2 f4 f8, integers i1 to i8, u1 to u8, or "
                                   "bool",
                                   quote_name(descr)));
  }

  std::string_view text_;
  const Location &where_;
  size_t at_ = 0;
};

void read_exactly(const ByteSource &source, void *to, size_t bytes, std::string_view what, const Location &where) {
  size_t got = source(to, bytes);
  if (got != bytes) throw CompileError(where, fmt::format("truncated: {} needs {} bytes, found {}", what, bytes, got));
}

template <class T> void swap_all(void *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i += sizeof(T)) {
    T v;
    std::memcpy(&v, static_cast<char *>(data) + i, sizeof(T));
    if constexpr (sizeof(T) == 2)
      v = __builtin_bswap16(v);
    else if constexpr (sizeof(T) == 4)
      v = __builtin_bswap32(v);
    else
      v = __builtin_bswap64(v);
    std::memcpy(static_cast<char *>(data) + i, &v, sizeof(T));
  }
}

void to_native(const Header &h, void *data, size_t bytes) {
  if (h.dtype == DType::boolean)
    for (size_t i = 0; i < bytes; ++i) static_cast<uint8_t *>(data)[i] = static_cast<uint8_t *>(data)[i] != 0;
  if (!h.big_endian) return;
  switch (size_of(h.dtype)) {
  case 2: return swap_all<uint16_t>(data, bytes);
  case 4: return swap_all<uint32_t>(data, bytes);
  case 8: return swap_all<uint64_t>(data, bytes);
  default: return;
  }
}

/// Walks row-major byte offsets of a tensor in column-major order.
class ColumnMajorWalk {
public:
  ColumnMajorWalk(const std::vector<int64_t> &dims, int64_t element)
      : dims_(dims), index_(dims.size()), strides_(dims.size()) {
    for (size_t i = dims.size(); i-- > 0; element *= dims[i]) strides_[i] = element;
  }
  int64_t next() {
    int64_t here = offset_;
    for (size_t i = 0; i < dims_.size(); ++i) {
      offset_ += strides_[i];
      if (++index_[i] < dims_[i]) break;
      offset_ -= strides_[i] * dims_[i];
      index_[i] = 0;
    }
    return here;
  }

private:
  const std::vector<int64_t> &dims_;
  std::vector<int64_t> index_, strides_;
  int64_t offset_ = 0;
};

} // namespace

Tensor read_npy(const ByteSource &source, uint64_t total, const Location &where) {
  std::array<unsigned char, 12> start{};
  read_exactly(source, start.data(), 10, "the start of an npy header", where);
  if (std::memcmp(start.data(), "\x93NUMPY", 6) != 0)
    throw CompileError(where, "not an npy array: its first bytes are not \\x93NUMPY");
  if (start[6] < 1 || start[6] > 3)
    throw CompileError(where, fmt::format("npy format version {}.{}; expected 1 to 3", start[6], start[7]));
  size_t prefix = 10, length = start[8] | size_t(start[9]) << 8;
  if (start[6] > 1) {
    read_exactly(source, &start[10], 2, "the start of an npy header", where);
    prefix = 12, length |= size_t(start[10]) << 16 | size_t(start[11]) << 24;
  }
  if (length > kLongestHeader)
    throw CompileError(where,
                       fmt::format("the npy header claims {} bytes; at most {} are read", length, kLongestHeader));
  std::string text(length, '\0');
  read_exactly(source, text.data(), length, "the npy header", where);
  Header h = HeaderParser(text, where).parse();

  std::optional<int64_t> bytes = checked_bytes(h.dtype, h.dims);
  if (!bytes) throw CompileError(where, fmt::format("the shape {} is too large", dims_text(h.dims)));
  uint64_t found = total - std::min(total, uint64_t(prefix + length));
  if (found != uint64_t(*bytes))
    throw CompileError(where, fmt::format("{}: {}[{}] needs {} bytes of data, found {}",
                                          found < uint64_t(*bytes) ? "truncated" : "bytes after the array",
                                          name(h.dtype), dims_text(h.dims), *bytes, found));

  Tensor out = allocate(h.dtype, h.dims, where);
  if (!h.fortran || h.dims.size() < 2 || *bytes == 0) {
    read_exactly(source, out.data(), size_t(*bytes), "the array", where);
    to_native(h, out.data(), size_t(*bytes));
    return out;
  }
  // By pieces, so that memory holds the data only once.
  std::vector<std::byte> piece(1 << 16);
  ColumnMajorWalk walk(h.dims, size_of(h.dtype));
  const size_t element = size_t(size_of(h.dtype));
  for (size_t done = 0; done < size_t(*bytes);) {
    size_t n = std::min(piece.size(), size_t(*bytes) - done);
    read_exactly(source, piece.data(), n, "the array", where);
    to_native(h, piece.data(), n);
    for (size_t i = 0; i < n; i += element) std::memcpy(out.data() + walk.next(), &piece[i], element);
    done += n;
  }
  return out;
}

Tensor read_npy(const std::string &path) {
  InputFile file(path);
  return read_npy([&](void *to, size_t bytes) { return file.read(to, bytes); }, file.size(), file_location(path));
}

std::string npy_header(const Tensor &tensor, const Location &where) {
  std::string_view code;
  for (const Descr &d : kDescrs)
    if (d.dtype == tensor.dtype()) code = d.code;
  if (code.empty())
    throw CompileError(where, fmt::format("NumPy has no {}: cast the tensor to f32 first", name(tensor.dtype())));
  std::string shape;
  for (int64_t d : tensor.dims()) shape += fmt::format("{}, ", d);
  if (tensor.rank() > 1)
    shape.resize(shape.size() - 2);
  else if (tensor.rank() == 1)
    shape.resize(shape.size() - 1); // (3,)
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                 size_of(tensor.dtype()) == 1 ? '|' : '<', code, shape);
  text.append(63 - (10 + text.size()) % 64, ' '); // the data begins at a multiple of 64
  text += '\n';
  TRELLIS_CHECK(text.size() <= kLongestHeader, "a tensor of that rank");
  return std::string("\x93NUMPY\x01\x00", 8) + char(text.size() & 255) + char(text.size() >> 8) + text;
}

void write_npy(const std::string &path, const Tensor &tensor) {
  std::string header = npy_header(tensor, file_location(path));
  AtomicFile out(path);
  out.write(header);
  out.write(tensor.data(), size_t(tensor.bytes()));
  out.commit();
}

} // namespace trellis
