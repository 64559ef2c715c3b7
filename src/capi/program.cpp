#include "capi/program.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/program_file.h"
#include "capi/structs.h"
#include "capi/tensor.h"
#include "mil/differentiate.h"
#include "mil/text.h"
#include "mil/verify.h"

#include <cstring>

namespace anet::capi {

namespace {

mil::BlobFiles read_blobs(const anet_blob_file* blobs, size_t count) {
  mil::BlobFiles files;
  for (const anet_blob_file& blob : read_array(blobs, count, "blobs")) {
    const auto data =
        read_array(static_cast<const std::byte*>(blob.data), blob.size_bytes, "blobs[].data");
    std::string path = read_path(blob.path, "blobs[].path");
    mil::Bytes bytes(std::vector<std::byte>(data.begin(), data.end()));
    if (!files.emplace(path, std::move(bytes)).second)
      fail(Status::invalid_argument, "expected each blob file once, seen '", path, "' again");
  }
  return files;
}

std::span<const mil::ValueId> ports_of(const mil::Function& function, anet_direction direction) {
  check_enumerator(direction, ANET_INPUT, 2, Status::invalid_argument, "direction");
  return direction == ANET_INPUT ? function.inputs : function.outputs;
}

std::vector<std::string> read_names(const char* const* names, size_t count, const char* argument) {
  std::vector<std::string> result;
  for (const char* name : read_array(names, count, argument))
    result.push_back(read_string(name, argument));
  return result;
}

mil::DifferentiateOptions read_options(const anet_differentiate_options& options) {
  static_assert(static_cast<anet_taps>(mil::Taps::automatic) == ANET_TAPS_AUTOMATIC);
  static_assert(static_cast<anet_taps>(mil::Taps::all) == ANET_TAPS_ALL);
  static_assert(static_cast<anet_taps>(mil::Taps::none) == ANET_TAPS_NONE);
  mil::DifferentiateOptions result;
  result.taps = static_cast<mil::Taps>(
      check_enumerator(options.taps, 0, 3, Status::unsupported_option, "options.taps"));
  result.with_respect_to = read_names(options.inputs, options.input_count, "options.inputs");
  result.outputs = read_names(options.outputs, options.output_count, "options.outputs");
  return result;
}

std::unique_ptr<anet_program> differentiate(const anet_program& source, const char* function,
                                            const anet_differentiate_options& options) {
  const mil::Function& forward = find_function(source, function);
  mil::Derivative derivative = mil::differentiate(forward, read_options(options));
  derivative.forward.name = forward.name;
  derivative.backward.name = forward.name + "_backward";
  mil::Program program;
  program.version = source.program.version;
  program.attributes = source.program.attributes;
  program.blobs = source.program.blobs;
  program.functions.push_back(std::move(derivative.forward));
  program.functions.push_back(std::move(derivative.backward));
  mil::verify(program);
  return std::make_unique<anet_program>(std::move(program));
}

} // namespace

const mil::Function& find_function(const anet_program& program, const char* name) {
  if (name == nullptr) return program.program.main();
  const std::string wanted = read_string(name, "function");
  const mil::Function* function = program.program.find(wanted);
  if (function != nullptr) return *function;
  std::string known;
  for (const mil::Function& other : program.program.functions)
    known += (known.empty() ? "" : ", ") + other.name;
  fail(Status::not_found, "expected one of the functions ", known, ", seen '", wanted, "'");
}

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_program_parse(const char* text, size_t length, const anet_blob_file* blobs,
                               size_t blob_count, anet_program** program, anet_error** error) {
  return guard_create(program, "program", error, [&] {
    require(text, "text");
    return std::make_unique<anet_program>(
        anet::mil::parse(read_text(text, length, "text"), read_blobs(blobs, blob_count)));
  });
}

anet_status anet_program_load(const char* path, anet_program** program, anet_error** error) {
  return guard_create(program, "program", error, [&] {
    return std::make_unique<anet_program>(load_program(read_path(path, "path")));
  });
}

anet_status anet_program_get_text(const anet_program* program, const char** text, size_t* length,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_program& handle = check_handle(program, "program");
    require(text, "text");
    std::call_once(handle.printed, [&] { handle.text = anet::mil::print(handle.program); });
    *text = handle.text.c_str();
    if (length != nullptr) *length = handle.text.size();
  });
}

size_t anet_program_function_count(const anet_program* program) {
  return is_valid(program) ? program->program.functions.size() : 0;
}

const char* anet_program_function_name(const anet_program* program, size_t index) {
  if (index >= anet_program_function_count(program)) return nullptr;
  return program->program.functions[index].name.c_str();
}

anet_status anet_program_port_count(const anet_program* program, const char* function,
                                    anet_direction direction, size_t* count, anet_error** error) {
  return guard(error, [&] {
    const anet_program& handle = check_handle(program, "program");
    require(count, "count") = ports_of(find_function(handle, function), direction).size();
  });
}

anet_status anet_program_get_port(const anet_program* program, const char* function,
                                  anet_direction direction, size_t index, anet_port* port,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_program& handle = check_handle(program, "program");
    const OutputStruct output(port, "port");
    const anet::mil::Function& owner = find_function(handle, function);
    const auto ports = ports_of(owner, direction);
    check_index(index, ports.size(), "port");
    const anet::mil::Value& value = owner.value(ports[index]);
    anet_port result{};
    result.name = value.name.c_str();
    result.desc = desc_of(value.type);
    output.write(result);
  });
}

anet_status anet_program_differentiate(const anet_program* program, const char* function,
                                       const anet_differentiate_options* options,
                                       anet_program** derivative, anet_error** error) {
  return guard_create(derivative, "derivative", error, [&] {
    return differentiate(check_handle(program, "program"), function,
                         read_optional_struct(options, "options"));
  });
}

void anet_program_retain(anet_program* program) { retain_handle(program); }

void anet_program_release(anet_program* program) { release_handle(program); }
