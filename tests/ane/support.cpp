#include "support.h"

#include "base/file.h"
#include "base/float16.h"
#include "base/status.h"
#include "mil/text.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace anet::test {

using backend::ane::Engine;
using backend::ane::EnginePort;
using backend::ane::Surface;
using backend::ane::SurfaceLock;

namespace {

std::string& program_path_storage() {
  static std::string path;
  return path;
}

double load_element(mil::DataType dtype, const std::byte* at) {
  switch (dtype) {
  case mil::DataType::fp16: {
    uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    return half_to_float(bits);
  }
  case mil::DataType::fp32: {
    float value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  case mil::DataType::int8:
    return static_cast<int8_t>(*at);
  case mil::DataType::uint8:
    return static_cast<uint8_t>(*at);
  default:
    throw std::runtime_error(std::string("no test data of type ") + mil::data_type_name(dtype));
  }
}

void store_element(mil::DataType dtype, std::byte* at, double value) {
  const uint64_t bits = mil::encode_number(dtype, value);
  std::memcpy(at, &bits, static_cast<size_t>(mil::data_type_bits(dtype)) / 8);
}

// Calls visit(element's number, its byte offset) in row-major order.
template <typename Visit>
void for_each_element(const EnginePort& port, Visit visit) {
  size_t n = 0;
  for (int64_t b = 0; b < port.shape[0]; ++b)
    for (int64_t c = 0; c < port.shape[1]; ++c)
      for (int64_t h = 0; h < port.shape[2]; ++h)
        for (int64_t w = 0; w < port.shape[3]; ++w)
          visit(n++, static_cast<size_t>(b * port.strides[0] + c * port.strides[1] +
                                         h * port.strides[2] + w * port.strides[3]));
}

} // namespace

void set_program_path(const std::string& path) {
  char* const resolved = ::realpath(path.c_str(), nullptr);
  program_path_storage() = resolved == nullptr ? path : resolved;
  std::free(resolved);
}

const std::string& program_path() { return program_path_storage(); }

std::string emulator_path() {
  return join_path(parent_directory(program_path()), "libane_emulator.so");
}

Emulator::Emulator() : library_(::dlopen(emulator_path().c_str(), RTLD_NOW | RTLD_NODELETE)) {
  if (library_ == nullptr) throw std::runtime_error(::dlerror());
  set_ = reinterpret_cast<decltype(set_)>(::dlsym(library_, "ane_emulator_set"));
  reset_ = reinterpret_cast<decltype(reset_)>(::dlsym(library_, "ane_emulator_reset"));
  count_ = reinterpret_cast<decltype(count_)>(::dlsym(library_, "ane_emulator_count"));
  if (set_ == nullptr || reset_ == nullptr || count_ == nullptr)
    throw std::runtime_error("the emulator has no controls");
  reset_();
}

Emulator::~Emulator() {
  reset_();
  ::dlclose(library_);
}

void Emulator::set(const std::string& key, const std::string& value) {
  if (set_(key.c_str(), value.c_str()) == 0)
    throw std::runtime_error("the emulator does not know " + key + "=" + value);
}

void Emulator::reset() { reset_(); }

int64_t Emulator::count(const std::string& counter) const {
  const long long value = count_(counter.c_str());
  if (value < 0) throw std::runtime_error("the emulator does not count " + counter);
  return value;
}

namespace {

std::string make_directory() {
  std::array<char, 64> name = {"/tmp/ane_test_XXXXXX"};
  if (::mkdtemp(name.data()) == nullptr) fail_errno("create directory", name.data());
  return name.data();
}

// A leftover in /tmp fails no test.
void remove_quietly(const std::string& path) noexcept {
  try {
    remove_tree(path);
  } catch (const Error&) {
  }
}

} // namespace

TemporaryDirectory::TemporaryDirectory() : path_(make_directory()) {
  const char* const previous = std::getenv("TMPDIR");
  had_previous_ = previous != nullptr;
  if (had_previous_) previous_ = previous;
  ::setenv("TMPDIR", path_.c_str(), 1);
}

TemporaryDirectory::~TemporaryDirectory() {
  if (had_previous_)
    ::setenv("TMPDIR", previous_.c_str(), 1);
  else
    ::unsetenv("TMPDIR");
  remove_quietly(path_);
}

std::vector<std::string> TemporaryDirectory::names() const {
  std::vector<std::string> result;
  if (FileSystem::real().list(path_.c_str(), result) != 0) fail_errno("list", path_);
  return result;
}

const std::string& probe_cache() {
  struct Folder {
    std::string path = make_directory();
    ~Folder() { remove_quietly(path); }
  };
  static const Folder folder;
  return folder.path;
}

EngineFixture::EngineFixture() : pauses(std::make_shared<std::vector<int64_t>>()) {}

std::shared_ptr<Engine> EngineFixture::open(int load_attempts) {
  backend::ane::EngineOptions options;
  options.framework_path = emulator_path();
  options.load_attempts = load_attempts;
  options.pause = [pauses = pauses](std::chrono::milliseconds time) {
    pauses->push_back(time.count());
  };
  return backend::ane::open_engine(options);
}

mil::Program parse_program(const std::string& functions, mil::BlobFiles blobs) {
  return mil::parse("program(1.3)\n{\n" + functions + "\n}\n", std::move(blobs));
}

mil::Program addition(int64_t channels, int64_t width) {
  const std::string type = "tensor<fp16, " + mil::shape_to_string({1, channels, 1, width}) + ">";
  return parse_program("func main<ios18>(" + type + " x, " + type + " y) {\n" + type +
                       " z = add(x = x, y = y)[name = string(\"z\")];\n} -> (z);");
}

std::vector<std::shared_ptr<Surface>> make_surfaces(Engine& engine,
                                                    std::span<const EnginePort> ports) {
  std::vector<std::shared_ptr<Surface>> result;
  for (const EnginePort& port : ports) result.push_back(engine.make_surface(port.size_bytes));
  return result;
}

void write_port(const Surface& surface, const EnginePort& port, std::span<const double> values) {
  const SurfaceLock lock(surface, true);
  for_each_element(port, [&](size_t n, size_t offset) {
    store_element(port.dtype, surface.data() + offset, values[n]);
  });
}

std::vector<double> read_port(const Surface& surface, const EnginePort& port) {
  const SurfaceLock lock(surface, false);
  std::vector<double> values;
  for_each_element(port, [&](size_t, size_t offset) {
    values.push_back(load_element(port.dtype, surface.data() + offset));
  });
  return values;
}

size_t find_port_index(std::span<const EnginePort> ports, std::string_view name) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == name) return i;
  throw std::runtime_error("no port '" + std::string(name) + "'");
}

const EnginePort& find_port(std::span<const EnginePort> ports, std::string_view name) {
  return ports[find_port_index(ports, name)];
}

namespace {

// This program, behind the command that scripts/run-tests.sh runs programs with, if any.
std::vector<std::string> own_command() {
  std::vector<std::string> words;
  const char* const runner = std::getenv("RUNNER");
  std::istringstream list(runner == nullptr ? "" : runner);
  for (std::string word; list >> word;) words.push_back(word);
  words.push_back(program_path());
  return words;
}

// Pointers as exec wants them; `words` must outlive them.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// The environment with `variable` set to `value`.
std::vector<std::string> environment_with(const std::string& variable, const std::string& value) {
  std::vector<std::string> words = {variable + "=" + value};
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with(variable + "=")) words.emplace_back(*entry);
  return words;
}

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
}

} // namespace

ProcessResult run_self(const std::string& variable, const std::string& value,
                       const std::vector<std::string>& arguments) {
  std::vector<std::string> words = own_command();
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> settings = environment_with(variable, value);
  const std::vector<char*> command = pointers_to(words);
  const std::vector<char*> environment = pointers_to(settings);
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_errno("create", "a pipe");
  // Other threads may be running: the child calls nothing but what is safe then.
  const pid_t child = ::fork();
  if (child < 0) fail_errno("fork", program_path());
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execvpe(command[0], command.data(), environment.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  ProcessResult result;
  result.output = read_all(ends[0]);
  ::close(ends[0]);
  while (::waitpid(child, &result.status, 0) < 0 && errno == EINTR) {
  }
  return result;
}

} // namespace anet::test
