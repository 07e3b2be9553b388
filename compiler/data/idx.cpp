#include "compiler/data/idx.h"
#include "compiler/data/input.h"
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <zlib.h>

namespace trellis {

namespace {

/// The bytes of a file, gunzipped where it is gzipped.
class Stream {
public:
  explicit Stream(const std::string &path) : file_(path) {
    filled_ = file_.read(buffer_, sizeof buffer_);
    gzip_ = filled_ >= 2 && buffer_[0] == 0x1f && buffer_[1] == 0x8b;
    if (gzip_) {
      TRELLIS_CHECK(inflateInit2(&z_, 15 + 16) == Z_OK, "zlib does not start");
      z_.next_in = buffer_, z_.avail_in = unsigned(filled_);
    }
  }
  ~Stream() { inflateEnd(&z_); }

  /// Fewer bytes than asked for only at the end.
  size_t read(void *to, size_t bytes) { return gzip_ ? inflate_to(to, bytes) : copy_to(to, bytes); }
  /// No more than this can come: deflate shrinks 1032 times at best.
  uint64_t most() const { return gzip_ ? file_.size() * 1032 : file_.size(); }
  bool gzip() const { return gzip_; }
  /// Plain, or the gzip data came to its end with the right checksum.
  bool complete() const { return !gzip_ || ended_; }

private:
  size_t copy_to(void *to, size_t bytes) {
    size_t n = std::min(bytes, filled_ - used_);
    std::memcpy(to, buffer_ + used_, n);
    used_ += n;
    return n + (n < bytes ? file_.read(static_cast<char *>(to) + n, bytes - n) : 0);
  }

  size_t inflate_to(void *to, size_t bytes) {
    size_t done = 0;
    while (done < bytes && !ended_) {
      if (z_.avail_in == 0) {
        refill();
        if (z_.avail_in == 0) break; // the caller sees too few bytes
      }
      size_t piece = std::min(bytes - done, size_t(1) << 30);
      z_.next_out = static_cast<Bytef *>(to) + done, z_.avail_out = unsigned(piece);
      int status = inflate(&z_, Z_NO_FLUSH);
      done += piece - z_.avail_out;
      if (status == Z_STREAM_END) {
        if (z_.avail_in == 0) refill();
        ended_ = z_.avail_in == 0;
        if (!ended_) inflateReset(&z_); // gzip members may follow one another
      } else if (status != Z_OK && status != Z_BUF_ERROR)
        throw CompileError(file_location(file_.path()),
                           fmt::format("damaged gzip data: {}", z_.msg ? z_.msg : zError(status)));
    }
    return done;
  }

  void refill() { z_.next_in = buffer_, z_.avail_in = unsigned(file_.read(buffer_, sizeof buffer_)); }

  InputFile file_;
  unsigned char buffer_[1 << 16];
  size_t filled_ = 0, used_ = 0;
  bool gzip_ = false, ended_ = false;
  z_stream z_{};
};

std::optional<DType> idx_type(int code) {
  switch (code) {
  case 0x08: return DType::u8;
  case 0x09: return DType::i8;
  case 0x0b: return DType::i16;
  case 0x0c: return DType::i32;
  case 0x0d: return DType::f32;
  case 0x0e: return DType::f64;
  default: return std::nullopt;
  }
}

void to_little_endian(Tensor &t) {
  const size_t n = size_t(size_of(t.dtype()));
  if (n == 1) return;
  for (std::byte *p = t.data(), *end = p + t.bytes(); p < end; p += n) std::reverse(p, p + n);
}

} // namespace

Tensor read_idx(const std::string &path) {
  auto stream = std::make_unique<Stream>(path);
  Location where = file_location(path);
  unsigned char magic[4] = {};
  if (size_t n = stream->read(magic, 4); n < 4)
    throw CompileError(where, fmt::format("truncated: {} bytes, an IDX file begins with 4", n));
  std::optional<DType> dtype = idx_type(magic[2]);
  if (magic[0] || magic[1] || !dtype)
    throw CompileError(
        where,
        fmt::format("not an IDX file: it begins with {:02x} {:02x} {:02x} {:02x}, expected 00 00 TYPE RANK with type "
                    "08, 09, 0b, 0c, 0d or 0e",
                    magic[0], magic[1], magic[2], magic[3]));
  std::vector<int64_t> dims(magic[3]);
  for (int64_t &d : dims) {
    unsigned char b[4];
    if (stream->read(b, 4) < 4)
      throw CompileError(where, fmt::format("truncated: the header has no room for {} dimensions", dims.size()));
    d = int64_t(b[0]) << 24 | b[1] << 16 | b[2] << 8 | b[3];
  }
  std::optional<int64_t> bytes = checked_bytes(*dtype, dims);
  if (!bytes) throw CompileError(where, fmt::format("the shape {} is too large", dims_text(dims)));
  std::string needs = fmt::format("{}[{}] needs {} bytes of data", name(*dtype), dims_text(dims), *bytes);
  uint64_t header = 4 + 4 * dims.size();
  if (uint64_t(*bytes) + header > stream->most()) // before anything of that size is allocated
    throw CompileError(where, stream->gzip() ? fmt::format("truncated: {}, more than its gzip data can hold", needs)
                                             : fmt::format("truncated: {}, found {}", needs, stream->most() - header));
  Tensor out = allocate(*dtype, dims, where);
  if (size_t found = stream->read(out.data(), size_t(*bytes)); found != size_t(*bytes))
    throw CompileError(where, fmt::format("truncated: {}, found {}", needs, found));
  char extra;
  if (stream->read(&extra, 1)) throw CompileError(where, fmt::format("{}, but more follow", needs));
  if (!stream->complete()) throw CompileError(where, "truncated: the gzip data has no end");
  to_little_endian(out);
  return out;
}

} // namespace trellis
