// Models from files and to files.
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/model.h"
#include "capi/progress.h"
#include "capi/quantize.h"
#include "capi/structs.h"
#include "io/model_file/model_source.h"

#include <limits>
#include <string>

namespace anet::capi {

namespace {

io::ExportFormat format_of(anet_export_format format) {
  static constexpr io::ExportFormat formats[] = {io::ExportFormat::hugging_face,
                                                 io::ExportFormat::gguf, io::ExportFormat::llama2c};
  return formats[check_enumerator(format, 0, 3, Status::unsupported_option, "options.format")];
}

io::ExportOptions export_options_of(const anet_export_options& options) {
  io::ExportOptions result;
  result.format = format_of(options.format);
  result.type = static_cast<io::ExportType>(
      check_enumerator(options.type, 0, 4, Status::unsupported_option, "options.type"));
  if (options.companion != nullptr)
    result.companion = read_path(options.companion, "options.companion");
  constexpr auto largest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (options.max_shard_bytes > largest)
    fail(Status::unsupported_option, "expected options.max_shard_bytes up to ", largest, ", seen ",
         options.max_shard_bytes);
  if (options.max_shard_bytes != 0)
    result.max_shard_bytes = static_cast<int64_t>(options.max_shard_bytes);
  return result;
}

anet_model_info describe(const anet_model& model) {
  anet_model_info info{};
  info.format = model.format.c_str();
  info.tokenizer_path = model.extras.tokenizer_path.c_str();
  info.stop_ids = model.extras.stop_ids.data();
  info.stop_count = model.extras.stop_ids.size();
  info.warnings = model.warning_pointers.data();
  info.warning_count = static_cast<uint32_t>(model.warning_pointers.size());
  return info;
}

io::LoadOptions load_options_of(const anet_model_load_options& options) {
  io::LoadOptions result;
  result.progress = tensor_callback(options.progress, options.user_data);
  if (options.quantize == nullptr) return result;
  const auto quantize = read_struct(options.quantize, "options.quantize");
  if (quantize.progress != nullptr)
    fail(Status::unsupported_option, "expected options.quantize->progress to be NULL: "
                                     "options.progress tells how far loading has come");
  result.recipe = recipe_of(quantize);
  return result;
}

std::unique_ptr<anet_model> load(const std::string& path, const anet_model_load_options& options) {
  io::LoadOptions chosen = load_options_of(options);
  std::shared_ptr<ThreadPool> pool; // lives as long as it is used
  if (options.quantize != nullptr) pool = threads_of(*options.quantize);
  chosen.pool = pool.get();
  io::LoadedModel loaded = io::load_model(path, chosen);
  std::vector<quant::TensorReport> reports = std::move(loaded.quantization);
  auto handle = std::make_unique<anet_model>(std::move(loaded));
  // Of what a file holds compressed the errors are not known.
  if (chosen.recipe) handle->quantization = std::move(reports);
  return handle;
}

} // namespace

io::TensorCallback tensor_callback(anet_progress_callback callback, void* user_data) {
  if (callback == nullptr) return {};
  return [reporter = ProgressReporter(callback, user_data)](const io::TensorProgress& progress) {
    reporter.report(std::string(progress.name).c_str(), static_cast<uint64_t>(progress.done),
                    static_cast<uint64_t>(progress.total));
  };
}

} // namespace anet::capi

using namespace anet::capi;

anet_model::anet_model(anet::io::LoadedModel loaded)
    : model(std::move(loaded.model)), format(std::move(loaded.format)),
      extras(std::move(loaded.extras)), warnings(std::move(loaded.warnings)) {
  for (const std::string& warning : warnings) warning_pointers.push_back(warning.c_str());
}

anet_status anet_model_load(const char* path, const anet_model_load_options* options,
                            anet_model** model, anet_error** error) {
  return guard_create(model, "model", error, [&] {
    const auto given = read_optional_struct(options, "options");
    return load(read_path(path, "path"), given);
  });
}

anet_status anet_model_export(const anet_model* model, const char* path,
                              const anet_export_options* options, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const std::string target = read_path(path, "path");
    const auto given = read_optional_struct(options, "options");
    const auto call = enter_model(handle, Access::shared);
    anet::io::export_model(*handle.model, target, export_options_of(given),
                           tensor_callback(given.progress, given.user_data));
  });
}

anet_status anet_model_get_info(const anet_model* model, anet_model_info* info,
                                anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const OutputStruct output(info, "info");
    output.write(describe(handle));
  });
}
