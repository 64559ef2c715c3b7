#include "device.h"

#include "op_rules.h"
#include "trace.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

namespace emulator {

namespace {

namespace fs = std::filesystem;

// The compiled form: text and weights, as they were. The extension's first line guards against
// other files of the name.
constexpr std::string_view magic = "ANE emulator program 1\n";

void write_text(std::ofstream& stream, std::string_view text) {
  const auto size = static_cast<uint64_t>(text.size());
  stream.write(reinterpret_cast<const char*>(&size), sizeof size);
  stream.write(text.data(), static_cast<std::streamsize>(size));
}

void write_data(const fs::path& path, const Compiled& compiled) {
  // Another process may read the file of the same name.
  const fs::path temporary = path.string() + ".part";
  std::ofstream stream(temporary, std::ios::binary);
  stream << magic;
  write_text(stream, compiled.text);
  for (const auto& [name, bytes] : compiled.files) {
    write_text(stream, name);
    write_text(stream, {reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  }
  stream.close();
  if (!stream)
    refuse(Verdict::compilation_failure, "the file ", path.string(), " cannot be written");
  fs::rename(temporary, path);
}

class Reader {
public:
  explicit Reader(const std::string& file) : stream_(file, std::ios::binary | std::ios::ate) {
    if (stream_) rest_ = static_cast<uint64_t>(stream_.tellg());
    stream_.seekg(0);
  }
  bool starts() { return read(magic.size()) == magic; }
  bool ended() const { return rest_ == 0; }
  std::string text() {
    const std::string head = read(sizeof(uint64_t));
    uint64_t size = 0;
    if (head.size() == sizeof size) std::memcpy(&size, head.data(), sizeof size);
    return read(size);
  }

private:
  std::string read(uint64_t size) {
    if (size > rest_) {
      rest_ = 0;
      return {};
    }
    std::string text(size, '\0');
    stream_.read(text.data(), static_cast<std::streamsize>(size));
    rest_ -= size;
    return text;
  }
  std::ifstream stream_;
  uint64_t rest_ = 0;
};

std::shared_ptr<Compiled> check(std::string text, WeightFiles files) {
  Control& control = Control::instance();
  auto compiled = std::make_shared<Compiled>();
  compiled->text = std::move(text);
  compiled->program =
      check_program(read_program(compiled->text), files, control.profile(), control.rules());
  compiled->files = files.files();
  for (const CheckedFunction& function : compiled->program.functions) {
    for (const CheckedOp& op : function.ops) compiled->tiles = compiled->tiles || op.name == "tile";
  }
  return compiled;
}

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) refuse(Verdict::compilation_failure, "there is no file ", path.string());
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A program is compiled for a chip.
std::string cache_key(const std::string& identifier) {
  return identifier + "." + Control::instance().profile().name;
}

void pause(int64_t microseconds) {
  if (microseconds > 0) std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
}

// Inputs and outputs bind in the order of their names' bytes (0.4, R; 2.3).
std::vector<Port> sorted_ports(const CheckedFunction& function, const std::vector<int>& values,
                               int32_t first, bool by_size) {
  std::vector<Port> ports;
  for (const int value : values) {
    const ValueInfo& info = function.value(value);
    ports.push_back(make_port(info.name, value, info.type));
  }
  std::ranges::sort(ports, [=](const Port& a, const Port& b) {
    if (by_size && a.bytes() != b.bytes()) return a.bytes() < b.bytes();
    return a.name < b.name;
  });
  for (Port& port : ports) port.symbol = first++;
  return ports;
}

std::shared_ptr<Loaded> make_loaded(std::shared_ptr<const Compiled> compiled) {
  Control& control = Control::instance();
  const PlanOptions options = {control.numerics(), control.rules()};
  auto loaded = std::make_shared<Loaded>();
  loaded->compiled = std::move(compiled);
  int32_t inputs = 0;
  int32_t outputs = 0;
  for (const CheckedFunction& function : loaded->compiled->program.functions) {
    loaded->procedures.push_back(
        {&function, sorted_ports(function, function.inputs, inputs, options.rules.size_binding),
         sorted_ports(function, function.outputs, outputs, options.rules.size_binding),
         Plan(function, options)});
    inputs += static_cast<int32_t>(function.inputs.size());
    outputs += static_cast<int32_t>(function.outputs.size());
  }
  return loaded;
}

int64_t total_bytes(const std::vector<Port>& ports) {
  int64_t bytes = 0;
  for (const Port& port : ports) bytes += port.bytes();
  return bytes;
}

// Each port once, each surface large enough; bindings in the order of the ports.
int bind(const std::vector<Port>& ports, std::span<const engine_binding> given,
         std::vector<engine_binding>& bound) {
  bound.assign(ports.size(), {});
  if (given.size() != ports.size()) return ENGINE_WRONG_SYMBOLS;
  for (const engine_binding& binding : given) {
    const auto port =
        std::ranges::find(ports, binding.symbol, [](const Port& p) { return int64_t{p.symbol}; });
    if (port == ports.end()) return ENGINE_WRONG_SYMBOLS;
    engine_binding& place = bound[static_cast<size_t>(port - ports.begin())];
    if (place.address != nullptr) return ENGINE_WRONG_SYMBOLS;
    place = binding;
  }
  for (size_t i = 0; i < ports.size(); ++i) {
    if (bound[i].size >= static_cast<size_t>(ports[i].bytes())) continue;
    Control::instance().record_refusal("port " + ports[i].name + " needs a surface of " +
                                       std::to_string(ports[i].bytes()) + " bytes, got " +
                                       std::to_string(bound[i].size));
    return ENGINE_SMALL_SURFACE;
  }
  return ENGINE_OK;
}

} // namespace

Device& Device::instance() {
  static Device device;
  return device;
}

std::shared_ptr<const Compiled> Device::restore(const std::string& file) const {
  Reader reader(file);
  if (!reader.starts()) return nullptr;
  std::string text = reader.text();
  std::map<std::string, FileBytes> files;
  while (!reader.ended()) {
    std::string name = reader.text();
    const std::string bytes = reader.text();
    const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
    files[name] = std::make_shared<const std::vector<std::byte>>(first, first + bytes.size());
  }
  return check(std::move(text), WeightFiles(std::move(files)));
}

std::shared_ptr<const Compiled> Device::lookup(const std::string& identifier) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = cache_.find(cache_key(identifier));
    if (found != cache_.end()) return found->second;
  }
  const std::string directory = Control::instance().text("cache_dir");
  if (directory.empty()) return nullptr;
  return restore(directory + "/" + cache_key(identifier) + "/data");
}

void Device::compile(const std::string& identifier, const std::string& directory,
                     const std::string& mil_name) {
  Control& control = Control::instance();
  std::shared_ptr<const Compiled> compiled = lookup(identifier);
  if (compiled) {
    control.add("cache_hits");
  } else {
    pause(control.number("compile_latency_us"));
    if (control.strikes("fail_compile")) refuse(Verdict::compilation_failure, "fault fail_compile");
    const int64_t cap = control.number("compile_cap");
    if (cap > 0 && control.count("compiles") >= cap)
      refuse(Verdict::empty, "option compile_cap: ", cap, " compiles");
    // Files of the older format shadow the text (ane-facts.md 3.2).
    if (fs::exists(fs::path(directory) / "model.espresso.net")) {
      refuse(Verdict::invalid_program, directory, " has a model.espresso.net");
    }
    compiled = check(read_file(fs::path(directory) / mil_name), WeightFiles(directory));
    control.add("compiles");
    const std::string cache = control.text("cache_dir");
    if (!cache.empty()) {
      fs::create_directories(fs::path(cache) / cache_key(identifier));
      write_data(fs::path(cache) / cache_key(identifier) / "data", *compiled);
    }
  }
  write_data(fs::path(directory) / "data", *compiled);
  std::ofstream(fs::path(directory) / "net.plist") << "<plist version=\"1.0\"><dict/></plist>\n";
  const std::lock_guard lock(mutex_);
  cache_[cache_key(identifier)] = compiled;
}

bool Device::cached(const std::string& identifier) const { return lookup(identifier) != nullptr; }

void Device::purge(const std::string& identifier) {
  {
    const std::lock_guard lock(mutex_);
    cache_.erase(cache_key(identifier));
  }
  const std::string directory = Control::instance().text("cache_dir");
  std::error_code ignored;
  if (!directory.empty()) fs::remove_all(fs::path(directory) / cache_key(identifier), ignored);
}

void Device::forget() {
  const std::lock_guard lock(mutex_);
  cache_.clear();
  poisoned_ = false;
}

uint64_t Device::load(const std::string& identifier, const std::string& directory, bool compiled,
                      uint32_t& failure) {
  Control& control = Control::instance();
  failure = 0;
  std::shared_ptr<const Compiled> program = lookup(identifier);
  // The files that the compiler left are enough (3.6, R).
  if (!program && fs::exists(fs::path(directory) / "net.plist")) {
    program = restore((fs::path(directory) / "data").string());
  }
  if (!program) return 0;
  if (!compiled) control.add("cache_hits");
  // Statuses 5 and 1 at stage 4 (5.1).
  if (control.strikes("fail_load")) failure = 0x10004;
  if (control.take("transient_load")) failure = 0x50004;
  const int64_t cap = control.number("load_cap");
  if (cap > 0 && control.count("loaded") >= cap) failure = 0x50004;
  if (failure != 0) return 0;
  if (control.rules().weight_reload && fs::exists(fs::path(directory) / "model.mil")) {
    program = check(program->text, WeightFiles(directory));
  }
  auto loaded = make_loaded(std::move(program));
  control.add("loads");
  control.add("loaded");
  const std::lock_guard lock(mutex_);
  const uint64_t handle = next_handle_++;
  loaded_[handle] = std::move(loaded);
  return handle;
}

bool Device::unload(uint64_t handle) {
  const std::lock_guard lock(mutex_);
  if (loaded_.erase(handle) == 0) return false;
  Control::instance().add("unloads");
  Control::instance().add("loaded", -1);
  return true;
}

std::shared_ptr<const Loaded> Device::find(uint64_t handle) const {
  const std::lock_guard lock(mutex_);
  const auto found = loaded_.find(handle);
  return found == loaded_.end() ? nullptr : found->second;
}

void Device::run(const Procedure& procedure, std::span<const engine_binding> inputs,
                 std::span<const engine_binding> outputs) {
  Control& control = Control::instance();
  const bool nan_rule = control.numerics().nan_rule;
  const Rules rules = control.rules();
  const bool zero = control.strikes("zero_evaluate");
  const bool corrupt = control.strikes("corrupt_evaluate");
  procedure.plan.prepare(run_);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Port& port = procedure.inputs[i];
    const engine_binding& binding = inputs[rules.no_multi_input ? 0 : i];
    const bool fits = binding.size >= static_cast<size_t>(port.bytes());
    float* values = run_.frame.out(port.value);
    if (fits)
      read_port(port, static_cast<const std::byte*>(binding.address), values, nan_rule);
    else
      std::fill_n(values, port.elements(), 0.0f);
    control.add("bytes_in", port.bytes());
  }
  procedure.plan.execute(run_);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Port& port = procedure.outputs[i];
    if (outputs[i].size < static_cast<size_t>(port.bytes())) continue; // option small_surface_zeros
    float* values = run_.frame.out(port.value);
    if (zero) std::fill_n(values, port.elements(), 0.0f);
    // In the middle: a look at the first and the last values does not see it.
    if (corrupt && i == 0) {
      float& value = values[port.elements() / 2];
      value = value == 0 ? 1 : -2 * value;
    }
    write_port(port, values, static_cast<std::byte*>(outputs[i].address), rules.garbage_padding);
    control.add("bytes_out", port.bytes());
  }
}

int Device::evaluate(const Loaded& loaded, int64_t procedure,
                     std::span<const engine_binding> inputs,
                     std::span<const engine_binding> outputs) {
  Control& control = Control::instance();
  const std::lock_guard lock(engine_);
  const Rules rules = control.rules();
  if (control.strikes("hang_evaluate")) pause(control.number("hang_ms") * 1000);
  if (control.strikes("fail_evaluate")) return ENGINE_ABORTED;
  if (rules.tile_poison && poisoned_) return ENGINE_SMALL_SURFACE;
  const auto count = static_cast<int64_t>(loaded.procedures.size());
  // A program of one procedure takes any index (ane-facts.md 1.5, R).
  if (count == 1 && procedure < 16) procedure = 0;
  if (procedure < 0 || procedure >= count) return ENGINE_WRONG_SYMBOLS;
  const Procedure& selected = loaded.procedures[static_cast<size_t>(procedure)];
  std::vector<engine_binding> in;
  std::vector<engine_binding> out;
  int status = bind(selected.inputs, inputs, in);
  const int output_status = bind(selected.outputs, outputs, out);
  if (status == ENGINE_OK || output_status == ENGINE_WRONG_SYMBOLS) status = output_status;
  if (status == ENGINE_SMALL_SURFACE && rules.small_surface_zeros) status = ENGINE_OK;
  if (status != ENGINE_OK) return status;
  pause(control.number("latency_us"));
  run(selected, in, out);
  if (const std::string directory = control.text("trace"); !directory.empty())
    trace_evaluation(directory, loaded.compiled->text, total_bytes(selected.inputs),
                     total_bytes(selected.outputs));
  poisoned_ = poisoned_ || loaded.compiled->tiles;
  control.add("evaluations");
  return ENGINE_OK;
}

} // namespace emulator
