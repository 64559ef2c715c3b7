#include "backend/ane/in_memory_model.h"

#include "backend/ane/foundation.h"
#include "backend/ane/model_attributes.h"
#include "base/hash.h"
#include "base/status.h"

#include <array>
#include <bit>

namespace anet::backend::ane {

namespace {

// The framework only hashes the weights that it is given; the compiler reads the files
// (ane-facts.md 0.5, R). So it gets what tells one file from another instead of all its bytes: its
// size and two independent 64-bit checksums, which cost less than the framework's own hash.
std::array<uint64_t, 3> fingerprint(std::span<const std::byte> bytes) {
  return {bytes.size(), xxh64(bytes, 0), xxh64(bytes, 1)};
}

// The compiler's errors end in the list of its reasons, "err=( InvalidMILProgram )". Without one it
// did not look at the program: it is beyond its limit, or stalled (ane-facts.md 4.4 and 5.1, R).
bool gives_no_reason(const std::string& text) {
  const size_t list = text.find("err=");
  if (list == std::string::npos) return false;
  return text.find_first_not_of(" ()\t", list + 4) == std::string::npos;
}

Error compile_error(Error error) {
  const bool by_compiler = error.detail().domain.ends_with(".compiler");
  if (by_compiler && gives_no_reason(error.message()))
    return {Status::compile_budget, error.message() + ", as beyond the limit of compilations",
            error.detail()};
  if (by_compiler) return {Status::unsupported, error.message(), error.detail()};
  return error;
}

Object surface_objects(const Framework& framework,
                       std::span<const std::shared_ptr<Surface>> surfaces) {
  std::vector<Id> objects;
  for (const std::shared_ptr<Surface>& surface : surfaces) {
    const Id object = framework.call_class<Method::surface_object, Id>(
        static_cast<SurfaceReference>(surface->handle()));
    if (object == nullptr)
      fail(Status::device, "the framework does not take the surface ", surface->id());
    objects.push_back(object);
  }
  return {framework, make_array(framework, objects)};
}

Object symbol_numbers(const Framework& framework, const std::vector<EnginePort>& ports) {
  std::vector<Id> numbers;
  for (const EnginePort& port : ports) numbers.push_back(make_number(framework, port.symbol));
  return {framework, make_array(framework, numbers)};
}

} // namespace

Id InMemoryModel::make_descriptor(const ModelSource& source) const {
  std::vector<std::pair<std::string, Id>> weights;
  for (const auto& [path, bytes] : source.blobs) {
    const std::array<uint64_t, 3> digest = fingerprint(bytes.view());
    const std::array<std::pair<std::string, Id>, 2> entry = {{
        {"offset", make_number(framework(), 0)},
        {"data", make_data(framework(), std::as_bytes(std::span(digest)))},
    }};
    weights.emplace_back(path, make_dictionary(framework(), entry));
  }
  return framework().call_class<Method::descriptor_with_text, Id>(
      make_data(framework(), as_bytes(source.text)), make_dictionary(framework(), weights), Id{});
}

InMemoryModel::InMemoryModel(std::shared_ptr<EngineContext> context, const ModelSource& source)
    : context_(std::move(context)) {
  framework().guarded("describe a program", [&] {
    const Id descriptor = make_descriptor(source);
    if (descriptor == nullptr)
      fail(Status::device, "the framework makes no descriptor of the program");
    model_ =
        Object(framework(), framework().call_class<Method::model_with_descriptor, Id>(descriptor));
    if (!model_) fail(Status::device, "the framework makes no model of the program");
    identifier_ =
        text_of(framework(), framework().call<Method::model_identifier, Id>(model_.get()));
    if (identifier_.empty() || identifier_.find('/') != std::string::npos)
      fail(Status::device, "the program's identifier is '", identifier_,
           "', expected three hashes joined by '_'");
    // Both are known to be the same place; the framework's own word counts while it is plausible.
    directory_ = text_of(framework(), framework().call<Method::model_path, Id>(model_.get()));
    if (!directory_.starts_with('/') || file_name(directory_) != identifier_)
      directory_ = join_path(temporary_directory(), identifier_);
  });
}

bool InMemoryModel::is_cached() const {
  return framework().guarded("look for a compiled program", [&] {
    return is_true(framework().call<Method::model_exists, Bool>(model_.get()));
  });
}

void InMemoryModel::purge() {
  framework().guarded("purge", [&] { framework().call<Method::model_purge, void>(model_.get()); });
}

void InMemoryModel::compile() {
  context_->compilations.fetch_add(1, std::memory_order_relaxed);
  framework().guarded("compile", [&] {
    Id error = nullptr;
    if (!is_true(framework().call<Method::model_compile, Bool>(model_.get(), context_->options.qos,
                                                               context_->no_options.get(), &error)))
      throw compile_error(to_error(framework(), error, Status::device, "compile"));
  });
}

void InMemoryModel::load() {
  framework().guarded("load", [&] {
    Id error = nullptr;
    if (!is_true(framework().call<Method::model_load, Bool>(model_.get(), context_->options.qos,
                                                            context_->no_options.get(), &error)))
      throw Error(to_error(framework(), error, Status::device, "load"));
  });
}

void InMemoryModel::unload() {
  framework().guarded("unload", [&] {
    Id error = nullptr;
    if (!is_true(framework().call<Method::model_unload, Bool>(model_.get(), context_->options.qos,
                                                              &error)))
      throw Error(to_error(framework(), error, Status::device, "unload"));
  });
}

std::vector<EngineProcedure> InMemoryModel::procedures() const {
  return framework().guarded("read the model's attributes", [&] {
    return read_procedures(framework(),
                           framework().call<Method::model_attributes, Id>(model_.get()));
  });
}

Object InMemoryModel::make_request(const EngineProcedure& procedure,
                                   std::span<const std::shared_ptr<Surface>> inputs,
                                   std::span<const std::shared_ptr<Surface>> outputs) const {
  return framework().guarded("make a request", [&] {
    const Framework& known = framework();
    const Object in = surface_objects(known, inputs);
    const Object out = surface_objects(known, outputs);
    const Object in_symbols = symbol_numbers(known, procedure.inputs);
    const Object out_symbols = symbol_numbers(known, procedure.outputs);
    Object request(known, known.call_class<Method::request_with_ports, Id>(
                              in.get(), in_symbols.get(), out.get(), out_symbols.get(),
                              Id{}, // weights buffer: no effect (ane-facts.md 1.5, R)
                              Id{}, // performance statistics: none for clients (1.9, R)
                              make_number(known, procedure.index)));
    if (!request) fail(Status::device, "the framework makes no request of the surfaces");
    if (!is_true(known.call<Method::request_validate, Bool>(request.get())))
      fail(Status::device, "the framework finds the request of ", inputs.size(), " inputs and ",
           outputs.size(), " outputs invalid");
    return request;
  });
}

void InMemoryModel::evaluate(const Object& request) {
  framework().guarded("evaluate", [&] {
    Id error = nullptr;
    if (!is_true(framework().call<Method::model_evaluate, Bool>(model_.get(), context_->options.qos,
                                                                context_->no_options.get(),
                                                                request.get(), &error)))
      throw Error(to_error(framework(), error, Status::device, "evaluate"));
  });
}

} // namespace anet::backend::ane
