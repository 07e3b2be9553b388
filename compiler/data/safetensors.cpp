#include "compiler/data/safetensors.h"
#include "compiler/data/atomic_file.h"
#include "compiler/data/input.h"
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

namespace trellis {

namespace {

constexpr uint64_t kLongestHeader = 100'000'000; // as the reference implementation
constexpr size_t kMostDims = 64;
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::pair<DType, std::string_view> kDTypes[] = {
    {DType::f32, "F32"}, {DType::f64, "F64"}, {DType::f16, "F16"},     {DType::bf16, "BF16"}, {DType::i8, "I8"},
    {DType::i16, "I16"}, {DType::i32, "I32"}, {DType::i64, "I64"},     {DType::u8, "U8"},     {DType::u16, "U16"},
    {DType::u32, "U32"}, {DType::u64, "U64"}, {DType::boolean, "BOOL"}};

struct Entry {
  std::string name, dtype_name;
  std::vector<int64_t> dims, offsets;
  bool has_dtype = false, has_dims = false, has_offsets = false;
};

/// Takes the header apart as it is parsed: no tree of hostile depth is built, and repeated keys are seen.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
public:
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string problem;

  bool start_object(size_t) override {
    if (state_ == State::start) return go(State::names);
    if (state_ != State::value_of_name) return fail("a nested object");
    if (in_metadata_) return go(State::metadata);
    return go(State::fields);
  }
  bool end_object() override {
    if (state_ == State::names) return go(State::done);
    if (state_ == State::fields) {
      const Entry &e = entries.back();
      if (!e.has_dtype || !e.has_dims || !e.has_offsets)
        return fail("'dtype', 'shape' and 'data_offsets' are all needed");
    }
    return go(State::names);
  }
  bool key(std::string &text) override {
    if (state_ == State::names) {
      in_metadata_ = text == kMetadata;
      if (!seen_.insert(text).second) return fail(fmt::format("key {} stands twice", quote_name(text)));
      if (!in_metadata_) entries.emplace_back().name = text;
      return go(State::value_of_name);
    }
    if (state_ == State::metadata) {
      if (!seen_metadata_.insert(text).second)
        return fail(fmt::format("metadata key {} stands twice", quote_name(text)));
      metadata.emplace_back(text, "");
      return go(State::metadata_value);
    }
    Entry &e = entries.back();
    bool *has = text == "dtype"          ? &e.has_dtype
                : text == "shape"        ? &e.has_dims
                : text == "data_offsets" ? &e.has_offsets
                                         : nullptr;
    if (!has || *has) return fail(fmt::format("key {} is unknown or stands twice", quote_name(text)));
    *has = true;
    return go(has == &e.has_dtype ? State::dtype : has == &e.has_dims ? State::dims : State::offsets);
  }
  bool string(std::string &text) override {
    if (state_ == State::metadata_value) {
      metadata.back().second = text;
      return go(State::metadata);
    }
    if (state_ != State::dtype) return fail("a string where none may stand");
    entries.back().dtype_name = text;
    return go(State::fields);
  }
  bool start_array(size_t) override {
    if ((state_ != State::dims && state_ != State::offsets) || in_array_) return fail("an array where none may stand");
    return in_array_ = true;
  }
  bool end_array() override {
    in_array_ = false;
    return go(State::fields);
  }
  bool number_unsigned(uint64_t value) override {
    if (!in_array_) return fail("a number where none may stand");
    std::vector<int64_t> &list = state_ == State::dims ? entries.back().dims : entries.back().offsets;
    if (list.size() == kMostDims) return fail(fmt::format("more than {} numbers in a list", kMostDims));
    if (value > uint64_t(std::numeric_limits<int64_t>::max())) return fail(fmt::format("{} is too large", value));
    list.push_back(int64_t(value));
    return true;
  }
  bool number_integer(int64_t value) override { return fail(fmt::format("{} where a count should stand", value)); }
  bool number_float(double, const std::string &text) override {
    return fail(fmt::format("{} where a count should stand", quote_name(text)));
  }
  bool null() override { return fail("a null"); }
  bool boolean(bool) override { return fail("a true or false"); }
  bool binary(nlohmann::json::binary_t &) override { return fail("binary data"); }
  bool parse_error(size_t position, const std::string &token, const nlohmann::json::exception &) override {
    if (problem.empty()) problem = fmt::format("header, byte {}: not JSON at {}", position, quote_name(token));
    return false;
  }

private:
  enum class State { start, names, value_of_name, fields, dtype, dims, offsets, metadata, metadata_value, done };

  bool go(State next) {
    state_ = next;
    return true;
  }
  bool fail(std::string text) {
    std::string place =
        state_ == State::start || entries.empty() || in_metadata_ ? "" : " near " + quote_name(entries.back().name);
    problem = fmt::format("header{}: {}; expected {{\"name\": {{\"dtype\": ..., \"shape\": [...], "
                          "\"data_offsets\": [begin, end]}}, ...}}",
                          place, text);
    return false;
  }

  State state_ = State::start;
  bool in_metadata_ = false, in_array_ = false;
  std::unordered_set<std::string> seen_, seen_metadata_;
};

Tensor tensor_of(const Entry &e, const std::shared_ptr<void> &mapping, uint64_t data_at, uint64_t data_size,
                 const std::string &path) {
  Location where = file_location(path, fmt::format("tensor {}", quote_name(e.name)));
  auto dtype = std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](auto &d) { return d.second == e.dtype_name; });
  if (dtype == std::end(kDTypes))
    throw CompileError(where, fmt::format("dtype {}; expected BOOL, U8 to U64, I8 to I64, F16, BF16, F32 or F64",
                                          quote_name(e.dtype_name)));
  std::optional<int64_t> bytes = checked_bytes(dtype->first, e.dims);
  if (!bytes) throw CompileError(where, fmt::format("the shape {} is too large", dims_text(e.dims)));
  if (e.offsets.size() != 2 || e.offsets[0] > e.offsets[1])
    throw CompileError(where, fmt::format("data_offsets [{}]; expected [begin, end]", fmt::join(e.offsets, ", ")));
  int64_t begin = e.offsets[0], end = e.offsets[1];
  if (uint64_t(end) > data_size)
    throw CompileError(where, fmt::format("its data ends at byte {}, but the file holds {} bytes of data{}", end,
                                          data_size, " (truncated?)"));
  if (end - begin != *bytes)
    throw CompileError(where, fmt::format("{}[{}] needs {} bytes, its data_offsets [{}, {}] hold {}",
                                          name(dtype->first), dims_text(e.dims), *bytes, begin, end, end - begin));
  if (*bytes == 0) return allocate(dtype->first, e.dims, where);
  std::byte *data = static_cast<std::byte *>(mapping.get()) + data_at + begin;
  if (dtype->first == DType::boolean)
    for (int64_t i = 0; i < *bytes; ++i)
      if (uint8_t(data[i]) > 1)
        throw CompileError(where, fmt::format("element {} is {}; expected 0 or 1", i, uint8_t(data[i])));
  if (reinterpret_cast<uintptr_t>(data) % size_t(size_of(dtype->first)) == 0)
    return Tensor(dtype->first, e.dims, mapping, data);
  Tensor copy = allocate(dtype->first, e.dims, where);
  std::memcpy(copy.data(), data, size_t(*bytes));
  return copy;
}

/// Every byte of the data belongs to one tensor: no overlap, no hole, nothing after the last.
void check_layout(std::vector<const Entry *> order, uint64_t data_size, const std::string &path) {
  std::sort(order.begin(), order.end(), [](auto *a, auto *b) { return a->offsets < b->offsets; });
  int64_t at = 0;
  for (const Entry *e : order) {
    if (e->offsets[0] != at)
      throw CompileError(file_location(path, fmt::format("tensor {}", quote_name(e->name))),
                         fmt::format("its data begins at byte {}, expected {}: tensors {}", e->offsets[0], at,
                                     e->offsets[0] < at ? "overlap" : "leave a hole"));
    at = e->offsets[1];
  }
  if (uint64_t(at) != data_size)
    throw CompileError(file_location(path), fmt::format("{} bytes of data, but the tensors fill {}", data_size, at));
}

} // namespace

const std::string *SafeTensors::find_metadata(std::string_view key) const {
  for (const auto &[k, v] : metadata)
    if (k == key) return &v;
  return nullptr;
}

SafeTensors read_safetensors(const std::string &path) {
  InputFile file(path);
  Location where = file_location(path);
  unsigned char prefix[8];
  if (size_t n = file.read(prefix, 8); n < 8)
    throw CompileError(where, fmt::format("not a safetensors file: {} bytes, expected at least 8", n));
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[i];
  if (length > kLongestHeader)
    throw CompileError(where,
                       fmt::format("not a safetensors file: its header would be {} bytes long, at most {} are read",
                                   length, kLongestHeader));
  if (length > file.size() - 8)
    throw CompileError(where, fmt::format("truncated: the header needs {} bytes, found {}", length, file.size() - 8));
  std::shared_ptr<void> mapping = file.map();
  const char *text = static_cast<const char *>(mapping.get()) + 8;
  HeaderReader header;
  if (length == 0 || text[0] != '{')
    throw CompileError(where, "not a safetensors file: its header does not begin with '{'");
  if (!nlohmann::json::sax_parse(text, text + length, &header)) throw CompileError(where, header.problem);

  SafeTensors out{.metadata = std::move(header.metadata)};
  uint64_t data_at = 8 + length, data_size = file.size() - data_at;
  std::vector<const Entry *> order;
  for (const Entry &e : header.entries) {
    out.tensors.push_back({e.name, tensor_of(e, mapping, data_at, data_size, path)});
    order.push_back(&e);
  }
  check_layout(std::move(order), data_size, path);
  return out;
}

void write_safetensors(const std::string &path, const SafeTensors &contents) {
  Location where = file_location(path);
  const std::vector<NamedTensor> &tensors = contents.tensors;
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(tensors[a].tensor.dtype()) > size_of(tensors[b].tensor.dtype());
  });
  std::vector<int64_t> begin(tensors.size());
  int64_t at = 0;
  for (size_t i : order) begin[i] = at, at += tensors[i].tensor.bytes();

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::unordered_set<std::string_view> seen;
  auto once = [&](const std::string &key, std::string_view what) {
    if (!seen.insert(key).second) throw CompileError(where, fmt::format("{} {} stands twice", what, quote_name(key)));
  };
  // ordered_json looks for a key before it inserts, in linear time: push_back of pairs would be no different.
  // The keys are known to be unique, so the object is filled as the vector that it is.
  auto &fields = header.get_ref<nlohmann::ordered_json::object_t &>();
  auto &base = static_cast<nlohmann::ordered_json::object_t::Container &>(fields);
  if (!contents.metadata.empty()) {
    auto map = nlohmann::ordered_json::object();
    for (const auto &[key, value] : contents.metadata) once(key, "metadata key"), map[key] = value;
    base.emplace_back(std::string(kMetadata), std::move(map));
    seen.clear();
  }
  seen.insert(kMetadata);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor &t = tensors[i].tensor;
    once(tensors[i].name, "tensor");
    auto dtype = std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](auto &d) { return d.first == t.dtype(); });
    base.emplace_back(tensors[i].name, nlohmann::ordered_json{{"dtype", dtype->second},
                                                              {"shape", t.dims()},
                                                              {"data_offsets", {begin[i], begin[i] + t.bytes()}}});
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception &) {
    throw CompileError(where, "a tensor's or metadata's name or value is not UTF-8");
  }
  text.append((64 - (8 + text.size()) % 64) % 64, ' '); // the data begins on a cache line
  if (text.size() > kLongestHeader)
    throw CompileError(where, fmt::format("the header would need {} bytes; a safetensors file has at most {}",
                                          text.size(), kLongestHeader));

  AtomicFile out(path);
  std::string prefix(8, '\0');
  for (size_t i = 0; i < 8; ++i) prefix[i] = char(uint64_t(text.size()) >> (8 * i));
  out.write(prefix);
  out.write(text);
  for (size_t i : order) out.write(tensors[i].tensor.data(), size_t(tensors[i].tensor.bytes()));
  out.commit();
}

} // namespace trellis
