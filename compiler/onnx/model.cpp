#include "compiler/onnx/model.h"
#include "ir/literal.h"
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace trellis::onnx {

namespace fs = std::filesystem;

File read_file(const std::string &path) {
  File f{path, fs::path(path).parent_path().string(), nullptr};
  InputFile in(path);
  if (in.size() > uint64_t(std::numeric_limits<int>::max()))
    throw CompileError(f.at(), "larger than 2 GiB: weights beyond that belong in external data");
  std::shared_ptr<void> bytes = in.map();
  auto model = std::make_shared<ModelProto>();
  // Messages nested deeper than protobuf's limit (100) are refused here.
  if (!bytes || !model->ParseFromArray(bytes.get(), int(in.size())))
    throw CompileError(f.at(), "is no ONNX model: its messages are cut off, malformed or nested too deeply");
  if (!model->has_graph() || model->opset_import_size() == 0)
    throw CompileError(f.at(), model->has_graph() ? "is no ONNX model: it names no operator set"
                                                  : "is no ONNX model: it has no graph");
  f.model = std::move(model);
  return f;
}

static constexpr const char *kTypeNames[] = {
    "none",       "float",        "uint8",          "int8",       "uint16",         "int16",  "int32",     "int64",
    "string",     "bool",         "float16",        "double",     "uint32",         "uint64", "complex64", "complex128",
    "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",  "int4",      "float4e2m1",
    "float8e8m0", "uint2",        "int2",           "float6e2m3", "float6e3m2"};

std::string type_name(int type) {
  return type >= 0 && size_t(type) < std::size(kTypeNames) ? kTypeNames[type] : fmt::format("number {}", type);
}

DType dtype_of(int type, const Location &where) {
  switch (type) {
  case TensorProto::FLOAT: return DType::f32;
  case TensorProto::UINT8: return DType::u8;
  case TensorProto::INT8: return DType::i8;
  case TensorProto::UINT16: return DType::u16;
  case TensorProto::INT16: return DType::i16;
  case TensorProto::INT32: return DType::i32;
  case TensorProto::INT64: return DType::i64;
  case TensorProto::BOOL: return DType::boolean;
  case TensorProto::FLOAT16: return DType::f16;
  case TensorProto::DOUBLE: return DType::f64;
  case TensorProto::UINT32: return DType::u32;
  case TensorProto::UINT64: return DType::u64;
  case TensorProto::BFLOAT16: return DType::bf16;
  default: throw CompileError(where, fmt::format("element type {} is not supported", type_name(type)));
  }
}

// The bytes of external data: `location` is a file in the model's folder or below it.
static Tensor external(const File &file, const TensorProto &t, DType dtype, const std::vector<int64_t> &dims,
                       int64_t bytes, const Location &where) {
  std::string location;
  int64_t offset = 0, length = bytes;
  for (const StringStringEntryProto &e : t.external_data()) {
    if (e.key() == "location") location = e.value();
    int64_t *number = e.key() == "offset" ? &offset : e.key() == "length" ? &length : nullptr;
    if (number && (!parse_integer(e.value(), *number) || *number < 0))
      throw CompileError(where, fmt::format("external data: {} {} is no size", e.key(), quote_name(e.value())));
  }
  fs::path p(location);
  bool outside = location.empty() || p.is_absolute();
  for (const fs::path &part : p) outside |= part == "..";
  if (outside)
    throw CompileError(where, fmt::format("external data: {} is no file in the model's folder", quote_name(location)));
  InputFile in((fs::path(file.folder) / p).string());
  if (length != bytes || uint64_t(offset) > in.size() || uint64_t(bytes) > in.size() - uint64_t(offset))
    throw CompileError(where,
                       fmt::format("external data: {} bytes from {} of {} ({} bytes) were expected, {} are named",
                                   bytes, offset, quote_name(location), in.size(), length));
  std::shared_ptr<void> map = in.map();
  if (offset % 16 == 0) return Tensor(dtype, dims, map, static_cast<std::byte *>(map.get()) + offset);
  Tensor out = allocate(dtype, dims, where);
  std::memcpy(out.data(), static_cast<std::byte *>(map.get()) + offset, size_t(bytes));
  return out;
}

// Elements of a typed field.
template <class Field> static void fill(Tensor &t, const Field &values, const Location &where) {
  if (values.size() != t.size())
    throw CompileError(where, fmt::format("{} elements for a tensor of {}", values.size(), t.size()));
  for (int i = 0; i < values.size(); ++i) {
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(values[0])>>)
      t.set(i, double(values[i]));
    else if (is_float(t.dtype())) { // f16 and bf16 come as bits
      uint16_t bits = uint16_t(values[i]);
      std::memcpy(t.data() + 2 * i, &bits, 2);
    } else
      t.set_int(i, int64_t(values[i]));
  }
}

Tensor tensor_of(const File &file, const TensorProto &t, const Location &where) {
  DType dtype = dtype_of(t.data_type(), where);
  std::vector<int64_t> dims(t.dims().begin(), t.dims().end());
  std::optional<int64_t> bytes = checked_bytes(dtype, dims);
  if (!bytes || !is_reasonable(shape_of(dims)))
    throw CompileError(where, fmt::format("no tensor can have the dims {}", dims_text(dims)));
  if (t.has_segment()) throw CompileError(where, "tensors in segments are not supported");
  if (t.data_location() == TensorProto::EXTERNAL) return external(file, t, dtype, dims, *bytes, where);
  if (t.has_raw_data()) {
    const std::string &raw = t.raw_data();
    if (int64_t(raw.size()) != *bytes)
      throw CompileError(where, fmt::format("{} bytes of raw data for {}, which has {}", raw.size(),
                                            Type{dtype, shape_of(dims)}.str(), *bytes));
    void *data = const_cast<char *>(raw.data());
    if (*bytes >= 64 && reinterpret_cast<uintptr_t>(data) % 16 == 0)
      return Tensor(dtype, dims, std::const_pointer_cast<ModelProto>(file.model), data);
    Tensor out = allocate(dtype, dims, where);
    if (*bytes) std::memcpy(out.data(), raw.data(), raw.size());
    return out;
  }
  int64_t given = dtype == DType::f32                          ? t.float_data_size()
                  : dtype == DType::f64                        ? t.double_data_size()
                  : dtype == DType::i64                        ? t.int64_data_size()
                  : dtype == DType::u64 || dtype == DType::u32 ? t.uint64_data_size()
                                                               : t.int32_data_size();
  if (given != *bytes / size_of(dtype))
    throw CompileError(where, fmt::format("{} elements for {}", given, Type{dtype, shape_of(dims)}.str()));
  Tensor out = allocate(dtype, dims, where);
  switch (dtype) {
  case DType::f32: fill(out, t.float_data(), where); break;
  case DType::f64: fill(out, t.double_data(), where); break;
  case DType::i64: fill(out, t.int64_data(), where); break;
  case DType::u32:
  case DType::u64: fill(out, t.uint64_data(), where); break;
  default: fill(out, t.int32_data(), where);
  }
  return out;
}

Tensor tensor_of(const File &file, const SparseTensorProto &s, const Location &where) {
  Tensor values = tensor_of(file, s.values(), where), indices = tensor_of(file, s.indices(), where);
  std::vector<int64_t> dims(s.dims().begin(), s.dims().end());
  std::optional<int64_t> bytes = checked_bytes(values.dtype(), dims);
  bool linear = indices.rank() == 1;
  if (!bytes || *bytes > (int64_t(1) << 32) || values.rank() != 1 || indices.dtype() != DType::i64 ||
      indices.size() != values.size() * (linear ? 1 : int64_t(dims.size())))
    throw CompileError(where, "this sparse tensor does not hold together");
  Tensor out = allocate(values.dtype(), dims, where);
  size_t width = size_t(size_of(out.dtype()));
  for (int64_t i = 0; i < values.size(); ++i) {
    int64_t at = linear ? indices.get_int(i) : 0;
    bool ok = !linear || (at >= 0 && at < out.size());
    for (size_t d = 0; !linear && d < dims.size(); ++d) {
      int64_t k = indices.get_int(i * int64_t(dims.size()) + int64_t(d));
      ok &= k >= 0 && k < dims[d], at = at * dims[d] + (ok ? k : 0);
    }
    if (!ok) throw CompileError(where, "a sparse tensor has an index out of range");
    std::memcpy(out.data() + size_t(at) * width, values.data() + size_t(i) * width, width);
  }
  return out;
}

} // namespace trellis::onnx
