#include "compiler/data/npz.h"
#include "compiler/data/atomic_file.h"
#include "compiler/data/input.h"
#include "compiler/data/npy.h"
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <set>
#include <zip.h>

namespace trellis {

namespace {

constexpr std::string_view kSuffix = ".npy";
/// Deflate cannot shrink data further than this: 258 bytes in 2 bits.
constexpr uint64_t kMostDeflated = 1032;

struct Discard {
  void operator()(zip_t *z) const { zip_discard(z); }
  void operator()(zip_file_t *f) const { zip_fclose(f); }
  void operator()(zip_source_t *s) const { zip_source_free(s); }
};
using Archive = std::unique_ptr<zip_t, Discard>;

struct ZipError {
  zip_error_t error;
  ZipError() { zip_error_init(&error); }
  ~ZipError() { zip_error_fini(&error); }
  const char *text() { return zip_error_strerror(&error); }
};

Location member_location(const std::string &path, std::string_view member) {
  return file_location(path, fmt::format("member {}", quote_name(member)));
}

} // namespace

struct NpzReader::State {
  std::string path;
  Archive archive;
  std::vector<std::string> names;
  std::vector<uint64_t> sizes;
};

NpzReader::NpzReader(NpzReader &&) noexcept = default;
NpzReader::~NpzReader() = default;
const std::vector<std::string> &NpzReader::names() const { return state_->names; }

NpzReader::NpzReader(std::string path) : state_(std::make_unique<State>()) {
  InputFile check(path); // its errors for what is no file are the same everywhere
  state_->path = path;
  ZipError error;
  zip_source_t *source = zip_source_file_create(path.c_str(), 0, -1, &error.error);
  zip_t *archive = source ? zip_open_from_source(source, ZIP_RDONLY, &error.error) : nullptr;
  if (!archive) {
    if (source) zip_source_free(source);
    throw CompileError(file_location(path), fmt::format("not a usable npz (zip) archive: {}", error.text()));
  }
  state_->archive.reset(archive);
  std::set<std::string> seen;
  for (zip_int64_t i = 0, n = zip_get_num_entries(archive, 0); i < n; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive, zip_uint64_t(i), 0, &stat) < 0)
      throw CompileError(file_location(path), fmt::format("member {}: {}", i, zip_strerror(archive)));
    std::string name = stat.name ? stat.name : "";
    auto fail = [&](std::string text) { throw CompileError(member_location(path, name), std::move(text)); };
    constexpr zip_uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if ((stat.valid & kNeeded) != kNeeded) fail("has no size");
    if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE) fail("is encrypted");
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)
      fail(fmt::format("compression method {}; expected stored (0) or deflated (8)", stat.comp_method));
    // A size that the member cannot have would be allocated before the data ends.
    uint64_t most = stat.comp_method == ZIP_CM_STORE ? stat.comp_size : stat.comp_size * kMostDeflated;
    if (stat.comp_size > check.size() || stat.size > most)
      fail(fmt::format("claims {} bytes from {} in a file of {}", stat.size, stat.comp_size, check.size()));
    if (!name.ends_with(kSuffix)) fail("is not an array: expected a name that ends in .npy");
    name.resize(name.size() - kSuffix.size());
    if (!seen.insert(name).second) fail("stands twice");
    state_->names.push_back(std::move(name));
    state_->sizes.push_back(stat.size);
  }
}

Tensor NpzReader::read(size_t index) const {
  Location where = member_location(state_->path, state_->names[index]);
  std::unique_ptr<zip_file_t, Discard> file(zip_fopen_index(state_->archive.get(), index, 0));
  if (!file) throw CompileError(where, fmt::format("cannot open: {}", zip_strerror(state_->archive.get())));
  auto source = [&](void *to, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
      zip_int64_t n = zip_fread(file.get(), static_cast<char *>(to) + done, std::min(bytes - done, size_t(1) << 30));
      if (n < 0)
        throw CompileError(where, fmt::format("cannot read: {}", zip_error_strerror(zip_file_get_error(file.get()))));
      if (n == 0) break;
      done += size_t(n);
    }
    return done;
  };
  Tensor out = read_npy(source, state_->sizes[index], where);
  char extra; // the checksum is compared at the end of the member only
  if (source(&extra, 1) != 0) throw CompileError(where, "holds more bytes than the archive says");
  return out;
}

Tensor NpzReader::read(const std::string &name) const {
  auto at = std::find(names().begin(), names().end(), name);
  if (at == names().end())
    throw CompileError(file_location(state_->path),
                       fmt::format("no array {}; it holds: {}", quote_name(name), fmt::join(names(), ", ")));
  return read(size_t(at - names().begin()));
}

std::vector<NamedTensor> read_npz(const std::string &path) {
  NpzReader reader(path);
  std::vector<NamedTensor> out;
  for (size_t i = 0; i < reader.names().size(); ++i) out.push_back({reader.names()[i], reader.read(i)});
  return out;
}

namespace {

/// Lets libzip write an archive into an AtomicFile. Errors of the file travel past libzip's C frames in
/// `failure`.
struct Sink {
  AtomicFile file;
  std::optional<CompileError> failure;
  bool created = false;
  ZipError error;

  explicit Sink(const std::string &path) : file(path) {}

  static zip_int64_t call(void *self, void *data, zip_uint64_t length, zip_source_cmd_t command) {
    return static_cast<Sink *>(self)->handle(data, length, command);
  }

  zip_int64_t handle(void *data, zip_uint64_t length, zip_source_cmd_t command) {
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(
          ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
          ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_COMMIT_WRITE, ZIP_SOURCE_ROLLBACK_WRITE,
          ZIP_SOURCE_SEEK_WRITE, ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_REMOVE, -1);
    case ZIP_SOURCE_STAT: zip_error_set(&error.error, ZIP_ER_READ, ENOENT); return -1; // there is no archive yet
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&error.error, data, length);
    case ZIP_SOURCE_WRITE:
      try {
        file.write(data, length);
        end_ = std::max(end_, file.position());
        return zip_int64_t(length);
      } catch (const CompileError &e) {
        failure = e;
        zip_error_set(&error.error, ZIP_ER_WRITE, EIO);
        return -1;
      }
    case ZIP_SOURCE_TELL_WRITE: return zip_int64_t(file.position());
    case ZIP_SOURCE_SEEK_WRITE: {
      zip_int64_t to = zip_source_seek_compute_offset(file.position(), end_, data, length, &error.error);
      if (to < 0) return -1;
      file.seek(uint64_t(to));
      return 0;
    }
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_COMMIT_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_REMOVE:
    case ZIP_SOURCE_FREE: return 0;
    default: zip_error_set(&error.error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
  }

private:
  uint64_t end_ = 0;
};

} // namespace

void write_npz(const std::string &path, std::span<const NamedTensor> tensors, bool deflate) {
  std::vector<std::string> headers; // libzip reads them at the end
  std::set<std::string_view> seen;
  for (const NamedTensor &t : tensors) {
    Location where = member_location(path, t.name);
    if (!seen.insert(t.name).second) throw CompileError(where, "stands twice");
    if (t.name.empty() || t.name.find('\0') != std::string::npos) throw CompileError(where, "is no name for an array");
    headers.push_back(npy_header(t.tensor, where));
  }
  Sink sink(path);
  if (tensors.empty()) { // libzip writes no archive without members: this is the end record of an empty one
    sink.file.write(std::string("PK\5\6", 4) + std::string(18, '\0'));
    sink.file.commit();
    return;
  }
  ZipError error;
  zip_source_t *target = zip_source_function_create(Sink::call, &sink, &error.error);
  zip_t *opened = target ? zip_open_from_source(target, ZIP_CREATE | ZIP_TRUNCATE, &error.error) : nullptr;
  if (!opened) {
    if (target) zip_source_free(target);
    throw CompileError(file_location(path), fmt::format("cannot write a zip archive: {}", error.text()));
  }
  Archive archive(opened);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor &t = tensors[i];
    auto check = [&](bool ok) {
      if (!ok) throw CompileError(member_location(path, t.name), fmt::format("cannot add: {}", zip_strerror(opened)));
    };
    zip_buffer_fragment_t parts[] = {
        {reinterpret_cast<zip_uint8_t *>(headers[i].data()), headers[i].size()},
        {reinterpret_cast<zip_uint8_t *>(const_cast<std::byte *>(t.tensor.data())), zip_uint64_t(t.tensor.bytes())}};
    std::unique_ptr<zip_source_t, Discard> source(
        zip_source_buffer_fragment(opened, parts, t.tensor.bytes() ? 2 : 1, 0));
    check(source != nullptr);
    zip_int64_t at = zip_file_add(opened, (t.name + std::string(kSuffix)).c_str(), source.get(), ZIP_FL_ENC_UTF_8);
    check(at >= 0);
    (void)source.release(); // the archive owns it now
    check(zip_set_file_compression(opened, zip_uint64_t(at), deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) == 0);
    check(zip_file_set_dostime(opened, zip_uint64_t(at), 0, (1 << 5) | 1, 0) == 0); // 1980-01-01, the earliest
  }
  if (zip_close(opened) < 0) {
    if (sink.failure) throw *sink.failure;
    throw CompileError(file_location(path), fmt::format("cannot write a zip archive: {}", zip_strerror(opened)));
  }
  (void)archive.release();
  sink.file.commit();
}

} // namespace trellis
