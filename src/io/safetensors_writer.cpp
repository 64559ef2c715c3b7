#include "io/safetensors.h"

#include "base/json.h"
#include "base/status.h"
#include "io/safetensors_types.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace anet::io {
namespace {

const SafetensorsType& type_of(const TensorInfo& tensor) {
  const SafetensorsType* type = find_safetensors_type(tensor.dtype);
  if (type == nullptr)
    fail(Status::type_mismatch, "safetensors has no type ", mil::data_type_name(tensor.dtype),
         ", which tensor '", tensor.name, "' has");
  return *type;
}

int64_t size_in_bytes(const TensorInfo& tensor) {
  int64_t size = type_of(tensor).bits / 8; // all of ours are whole bytes
  for (const int64_t extent : tensor.shape)
    if (extent < 0 || __builtin_mul_overflow(size, extent, &size))
      fail(Status::invalid_argument, "invalid shape ", mil::shape_to_string(tensor.shape),
           " of tensor '", tensor.name, "'");
  return size;
}

Json header_of(const std::vector<TensorInfo>& tensors, const std::vector<int64_t>& sizes,
               const Metadata& metadata) {
  Json::Object header;
  Json properties = Json::object();
  for (const auto& [key, value] : metadata) properties.set(key, value);
  header.push_back({"__metadata__", std::move(properties)});
  int64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Json entry = Json::object();
    entry.set("dtype", type_of(tensors[i]).name);
    entry.set("shape", Json::Array(tensors[i].shape.begin(), tensors[i].shape.end()));
    entry.set("data_offsets", Json::Array{offset, offset + sizes[i]});
    offset += sizes[i];
    header.push_back({tensors[i].name, std::move(entry)});
  }
  return Json(std::move(header));
}

} // namespace

SafetensorsWriter::SafetensorsWriter(ByteSink& sink, std::vector<TensorInfo> tensors,
                                     Metadata metadata)
    : sink_(sink), tensors_(std::move(tensors)) {
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::make_tuple(-type_of(a).bits, std::cref(a.name)) <
           std::make_tuple(-type_of(b).bits, std::cref(b.name));
  });
  std::vector<std::string_view> names;
  for (const TensorInfo& tensor : tensors_) {
    sizes_.push_back(size_in_bytes(tensor));
    names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    fail(Status::invalid_argument, "expected tensor names that differ, seen '", *twice, "' twice");
  if (std::binary_search(names.begin(), names.end(), "__metadata__"))
    fail(Status::invalid_argument, "a tensor cannot be named '__metadata__'");

  metadata.emplace("format", "pt");
  std::string header = header_of(tensors_, sizes_, metadata).to_string();
  header.append((8 - header.size() % 8) % 8, ' '); // the data region begins 8-aligned
  if (header.size() > static_cast<size_t>(safetensors_max_header))
    fail(Status::out_of_range, "expected a header of at most ", safetensors_max_header,
         " bytes, seen ", header.size());
  const uint64_t header_size = header.size();
  header.insert(0, reinterpret_cast<const char*>(&header_size), sizeof(header_size));
  sink_.write(as_bytes(header));
  skip_complete();
}

void SafetensorsWriter::skip_complete() {
  while (current_ < tensors_.size() && written_ == sizes_[current_]) {
    ++current_;
    written_ = 0;
  }
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> piece) {
  if (piece.empty()) return; // empty tensors have no turn
  if (current_ == tensors_.size())
    fail(Status::invalid_state, "expected no more tensors, seen '", name, "'");
  const TensorInfo& tensor = tensors_[current_];
  if (name != tensor.name)
    fail(Status::invalid_state, "expected bytes of tensor '", tensor.name, "', seen '", name, "'");
  const int64_t left = sizes_[current_] - written_;
  if (static_cast<int64_t>(piece.size()) > left)
    fail(Status::invalid_state, "expected at most ", left, " more bytes of tensor '", name,
         "', seen ", piece.size());
  sink_.write(piece);
  written_ += static_cast<int64_t>(piece.size());
  skip_complete();
}

void SafetensorsWriter::finish() {
  if (current_ != tensors_.size())
    fail(Status::invalid_state, "expected ", sizes_[current_], " bytes of tensor '",
         tensors_[current_].name, "', seen ", written_);
}

void write_safetensors(ByteSink& sink, std::span<const TensorView> tensors, Metadata metadata) {
  std::unordered_map<std::string_view, std::span<const std::byte>> data;
  for (const TensorView& tensor : tensors) {
    data[tensor.name] = tensor.data;
    if (static_cast<int64_t>(tensor.data.size()) != size_in_bytes(tensor))
      fail(Status::shape_mismatch, "expected ", size_in_bytes(tensor), " bytes for tensor '",
           tensor.name, "' of shape ", mil::shape_to_string(tensor.shape), ", seen ",
           tensor.data.size());
  }
  SafetensorsWriter writer(sink, std::vector<TensorInfo>(tensors.begin(), tensors.end()),
                           std::move(metadata));
  for (const TensorInfo& info : writer.order()) writer.write(info.name, data.at(info.name));
  writer.finish();
}

void save_safetensors(const std::string& path, std::span<const TensorView> tensors,
                      Metadata metadata, FileSystem& files) {
  AtomicFile file(path, files);
  write_safetensors(file, tensors, std::move(metadata));
  file.commit();
}

} // namespace anet::io
