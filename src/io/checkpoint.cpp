#include "io/checkpoint.h"

#include "base/hash.h"
#include "base/status.h"

#include <algorithm>
#include <limits>

namespace anet::io {
namespace {

constexpr const char* weights_file = "model.safetensors";
constexpr const char* optimizer_file = "optimizer.safetensors";
constexpr const char* state_file = "state.json";
constexpr int64_t max_state_size = int64_t{64} << 20; // bytes
constexpr JsonLimits state_limits = {.max_size = size_t{max_state_size}, .max_depth = 128};

// Counts and hashes what passes through, so that no file is read again after it is written.
class ChecksumSink final : public ByteSink {
public:
  explicit ChecksumSink(ByteSink& sink) : sink_(sink) {}
  void write(std::span<const std::byte> data) override {
    hash_.update(data);
    size_ += static_cast<int64_t>(data.size());
    sink_.write(data);
  }
  Json description() const {
    return Json::object().set("size", size_).set("xxh64", hex64(hash_.digest()));
  }

private:
  ByteSink& sink_;
  Xxh64 hash_;
  int64_t size_ = 0;
};

Json write_tensors(const std::string& path, std::span<const TensorView> tensors,
                   FileSystem& files) {
  OutputFile file(path, files);
  ChecksumSink sink(file);
  write_safetensors(sink, tensors);
  file.close();
  return sink.description();
}

// state.json ends with the checksum of all its text before that: a line of fixed length.
constexpr std::string_view checksum_begin = ",\n  \"xxh64\": \"";
constexpr std::string_view checksum_end = "\"\n}\n";
constexpr size_t checksum_size = checksum_begin.size() + 16 + checksum_end.size();

std::string with_checksum(const Json& state) {
  std::string text = state.to_string(2);
  text.resize(text.size() - 2); // the closing "\n}"
  const std::string checksum = hex64(xxh64(as_bytes(text)));
  return concat(text, checksum_begin, checksum, checksum_end);
}

void verify_state(std::string_view text, std::string_view path) {
  const size_t body_size = text.size() < checksum_size ? 0 : text.size() - checksum_size;
  const std::string_view tail = text.substr(body_size);
  if (!tail.starts_with(checksum_begin) || !tail.ends_with(checksum_end))
    fail(Status::invalid_checkpoint, "expected a checksum at the end of '", path, "'");
  const std::string_view expected = tail.substr(checksum_begin.size(), 16);
  const std::string seen = hex64(xxh64(as_bytes(text.substr(0, body_size))));
  if (seen != expected)
    fail(Status::checksum, "expected checksum ", expected, " of '", path, "', seen ", seen);
}

// Size and checksum of one file against state.json.
void verify_file(const std::string& directory, const char* name, const JsonView& state,
                 FileSystem& files) {
  const JsonView description = state.at("files").at(name);
  const std::string path = join_path(directory, name);
  if (!path_exists(path, files))
    fail(Status::invalid_checkpoint, "expected a file '", name, "' in checkpoint '", directory,
         "', seen none");
  const MappedFile file(path, unlimited_size, files);
  const int64_t size = description.at("size").integer();
  if (static_cast<int64_t>(file.bytes().size()) != size)
    fail(Status::invalid_checkpoint, "expected ", size, " bytes in '", path, "', seen ",
         file.bytes().size());
  const std::string seen = hex64(xxh64(file.bytes()));
  const std::string& expected = description.at("xxh64").string();
  if (seen != expected)
    fail(Status::checksum, "expected checksum ", expected, " of '", path, "', seen ", seen);
}

std::string read_state(const std::string& directory, FileSystem& files) {
  const std::string path = join_path(directory, state_file);
  if (path_exists(directory, files) && !path_exists(path, files))
    fail(Status::invalid_checkpoint, "expected a file '", state_file, "' in checkpoint '",
         directory, "', seen none");
  return read_file(path, max_state_size, files);
}

SafetensorsReader open_verified(const std::string& directory, const char* name,
                                const JsonView& state, FileSystem& files) {
  verify_file(directory, name, state, files);
  try {
    return SafetensorsReader(join_path(directory, name), files);
  } catch (const Error& error) {
    if (error.status() != Status::invalid_data) throw;
    throw Error(Status::invalid_checkpoint, error.message(), error.detail());
  }
}

} // namespace

void save_checkpoint(const std::string& directory, const CheckpointContents& contents,
                     FileSystem& files) {
  if (contents.step < 0)
    fail(Status::invalid_argument, "expected a step from 0 on, seen ", contents.step);
  if (contents.sections.if_object() == nullptr)
    fail(Status::invalid_argument, "expected an object of checkpoint sections, seen ",
         json_kind_name(contents.sections.kind()));
  AtomicDirectory target(directory, files);
  Json described = Json::object();
  described.set(weights_file, write_tensors(target.path_of(weights_file), contents.weights, files));
  described.set(optimizer_file,
                write_tensors(target.path_of(optimizer_file), contents.optimizer, files));
  Json state = Json::object();
  state.set("format_version", checkpoint_format_version);
  state.set("library_version", contents.library_version);
  state.set("step", contents.step);
  state.set("files", std::move(described));
  state.set("sections", contents.sections);
  OutputFile file(target.path_of(state_file), files);
  file.write(as_bytes(with_checksum(state)));
  file.close();
  target.commit();
}

CheckpointReader::CheckpointReader(std::string directory, FileSystem& files)
    : directory_(std::move(directory)) {
  const std::string path = join_path(directory_, state_file);
  const std::string text = read_state(directory_, files);
  const Json state = Json::parse(text, path, Status::invalid_checkpoint, state_limits);
  const JsonView view(state, Status::invalid_checkpoint, path);
  // First of all: a newer format may have changed everything else.
  const int64_t version = view.at("format_version").integer();
  if (version > checkpoint_format_version)
    fail(Status::version, "expected checkpoint format ", checkpoint_format_version,
         " or older in '", directory_, "', seen ", version);
  if (version < 1) view.fail_here("expected a format version from 1 on, seen ", version);
  verify_state(text, path);
  step_ = view.at("step").integer(0, std::numeric_limits<int64_t>::max());
  library_version_ = view.at("library_version").string();
  view.at("sections").members();
  sections_ = view.at("sections").value();
  weights_ = open_verified(directory_, weights_file, view, files);
  optimizer_ = open_verified(directory_, optimizer_file, view, files);
}

JsonView CheckpointReader::section(std::string_view name) const {
  return JsonView(sections_, Status::invalid_checkpoint, "sections").at(name);
}

void check_tensors(const SafetensorsReader& file, std::span<const TensorInfo> expected,
                   std::string_view what) {
  for (const TensorInfo& tensor : expected) {
    const SafetensorsEntry* entry = file.find(tensor.name);
    if (entry == nullptr)
      fail(Status::invalid_checkpoint, what, ": expected a tensor '", tensor.name, "', seen none");
    if (entry->shape != tensor.shape)
      fail(Status::invalid_checkpoint, what, ": expected shape ",
           mil::shape_to_string(tensor.shape), " of tensor '", tensor.name, "', seen ",
           mil::shape_to_string(entry->shape));
    if (safetensors_dtype(tensor.dtype) != entry->dtype)
      fail(Status::invalid_checkpoint, what, ": expected type ", mil::data_type_name(tensor.dtype),
           " of tensor '", tensor.name, "', seen ", entry->dtype);
  }
  if (file.entries().size() == expected.size()) return;
  std::vector<std::string_view> names;
  for (const TensorInfo& tensor : expected) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  for (const SafetensorsEntry& entry : file.entries())
    if (!std::binary_search(names.begin(), names.end(), entry.name))
      fail(Status::invalid_checkpoint, what, ": unexpected tensor '", entry.name, "'");
}

} // namespace anet::io
