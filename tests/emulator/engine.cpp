#include "engine.h"

#include "ane_emulator.h"
#include "base/hash.h"
#include "base/status.h"
#include "device.h"

#include <algorithm>
#include <cctype>

using emulator::Control;
using emulator::Device;

namespace {

// What nobody expected is a refusal like any other, and said so.
template <typename Function>
int guarded(Function function) {
  try {
    function();
    return ENGINE_COMPILED;
  } catch (const emulator::Refusal& refusal) {
    Control::instance().record_refusal(refusal.text());
    switch (refusal.verdict()) {
    case emulator::Verdict::invalid_program:
      return ENGINE_INVALID_PROGRAM;
    case emulator::Verdict::compilation_failure:
      return ENGINE_COMPILATION_FAILURE;
    case emulator::Verdict::empty:
      return ENGINE_EMPTY_ERROR;
    }
  } catch (const std::exception& error) {
    Control::instance().record_refusal(std::string("unexpected: ") + error.what());
  }
  return ENGINE_COMPILATION_FAILURE;
}

const char* keep(std::string text) {
  thread_local std::string kept;
  kept = std::move(text);
  return kept.c_str();
}

const emulator::Procedure& procedure_of(const emulator::Loaded& loaded, int procedure) {
  return loaded.procedures[static_cast<size_t>(procedure)];
}

} // namespace

int engine_compile(const char* identifier, const char* directory, const char* mil_name) {
  const int verdict = guarded([&] { Device::instance().compile(identifier, directory, mil_name); });
  if (verdict != ENGINE_COMPILED) Control::instance().add("failed_compiles");
  return verdict;
}

int engine_cached(const char* identifier) {
  bool cached = false;
  guarded([&] { cached = Device::instance().cached(identifier); });
  return cached ? 1 : 0;
}

void engine_purge(const char* identifier) {
  guarded([&] { Device::instance().purge(identifier); });
}

uint64_t engine_load(const char* identifier, const char* directory, int compiled,
                     uint32_t* failure) {
  uint64_t handle = 0;
  guarded(
      [&] { handle = Device::instance().load(identifier, directory, compiled != 0, *failure); });
  if (handle == 0) Control::instance().add("failed_loads");
  return handle;
}

int engine_unload(uint64_t handle) { return Device::instance().unload(handle) ? 1 : 0; }

int engine_procedure_count(uint64_t handle) {
  const auto loaded = Device::instance().find(handle);
  return loaded ? static_cast<int>(loaded->procedures.size()) : 0;
}

const char* engine_procedure_name(uint64_t handle, int procedure) {
  const auto loaded = Device::instance().find(handle);
  return procedure_of(*loaded, procedure).function->name.c_str();
}

int engine_port_count(uint64_t handle, int procedure, int output) {
  const auto loaded = Device::instance().find(handle);
  const emulator::Procedure& selected = procedure_of(*loaded, procedure);
  return static_cast<int>(output != 0 ? selected.outputs.size() : selected.inputs.size());
}

engine_port engine_get_port(uint64_t handle, int procedure, int output, int index) {
  const auto loaded = Device::instance().find(handle);
  const emulator::Procedure& selected = procedure_of(*loaded, procedure);
  const emulator::Port& port =
      (output != 0 ? selected.outputs : selected.inputs)[static_cast<size_t>(index)];
  return {.name = port.name.c_str(),
          .type = emulator::port_type_name(port.dtype),
          .batches = port.extents[0],
          .channels = port.extents[1],
          .depth = port.extents[2],
          .height = port.extents[3],
          .width = port.extents[4],
          .batch_stride = port.strides[0],
          .depth_stride = port.strides[2],
          .plane_stride = port.strides[1],
          .row_stride = port.strides[3],
          .symbol = port.symbol};
}

int engine_evaluate(uint64_t handle, int64_t procedure, const engine_binding* inputs,
                    size_t input_count, const engine_binding* outputs, size_t output_count) {
  int status = ENGINE_NOT_LOADED;
  const int verdict = guarded([&] {
    const auto loaded = Device::instance().find(handle);
    if (loaded)
      status = Device::instance().evaluate(*loaded, procedure, {inputs, input_count},
                                           {outputs, output_count});
  });
  if (verdict != ENGINE_COMPILED) status = ENGINE_ABORTED;
  if (status != ENGINE_OK) Control::instance().add("failed_evaluations");
  return status;
}

void engine_explain(const char* text) { Control::instance().record_refusal(text); }
int engine_strikes(const char* fault) { return Control::instance().strikes(fault) ? 1 : 0; }
void engine_count(const char* counter, int64_t amount) { Control::instance().add(counter, amount); }
const char* engine_text(const char* option) { return keep(Control::instance().text(option)); }

const char* engine_profile_text(const char* field) {
  const emulator::Profile profile = Control::instance().profile();
  const std::string_view name = field;
  if (name == "architecture") return keep(profile.architecture);
  if (name == "sub_type") return keep(profile.sub_type);
  return keep(profile.product_name);
}

int64_t engine_board_type(void) { return Control::instance().profile().board_type; }

void engine_sha256(const void* data, size_t size, char text[65]) {
  std::string digits = anet::sha256_hex({static_cast<const std::byte*>(data), size});
  std::ranges::transform(digits, digits.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::copy_n(digits.c_str(), 65, text);
}

int ane_emulator_set(const char* key, const char* value) {
  return key != nullptr && value != nullptr && Control::instance().set(key, value) ? 1 : 0;
}

void ane_emulator_reset(void) {
  Control::instance().reset();
  Device::instance().forget();
}

long long ane_emulator_count(const char* counter) {
  return counter == nullptr ? -1 : Control::instance().count(counter);
}

const char* ane_emulator_last_refusal(void) { return keep(Control::instance().last_refusal()); }
