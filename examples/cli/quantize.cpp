#include "quantize_flags.h"

#include "commands.h"
#include "data.h"
#include "device_flags.h"
#include "eval.h"
#include "json.h"
#include "loading.h"
#include "text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace cli {
namespace {

struct QuantizeConfig {
  std::string model;
  std::string output;
  QuantizeFlags scheme;
  EvalData eval;
  DeviceFlags device;
  bool best = false;
  bool all = false;
  bool json = false;
};

CommandLine quantize_command_line(QuantizeConfig& config) {
  std::vector<Option> options = {
      {"model", "PATH", "model folder, GGUF, llama2.c, checkpoint or folder of them (required)",
       store(config.model)},
      {"best", "", "of a folder, the checkpoint with the lowest validation loss",
       store_switch(config.best)},
      {"output", "FILE", "a safetensors file that every command reads (nothing is written)",
       store(config.output)}};
  for (Option& option : config.scheme.options("scheme")) options.push_back(std::move(option));
  options.push_back(
      {"tensors", "", "list every matrix, not the ten that lose most", store_switch(config.all)});
  options.push_back({"json", "", "print one JSON object", store_switch(config.json)});
  return {"quantize",
          "Holds a model's matrices in 8 or 4 bits and reports what that costs: bytes before and "
          "after,\nthe worst and the RMS error of each matrix and, with --eval, the perplexity.",
          "",
          {{"Options", std::move(options)},
           {"Perplexity before and after",
            {{"eval", "PATH", "JSONL, text, .bin of token ids, or a folder with test.* or valid.*",
              store(config.eval.path)},
             {"windows", "N", "rows to measure (0: all)",
              store_integer("windows", config.eval.windows)},
             {"sequence_length", "N", "tokens in a row (the model's context, at most 512)",
              store_integer("sequence_length", config.eval.sequence_length)},
             {"batch_size", "N", "(8)", store_integer("batch_size", config.eval.batch_size)}}},
           {"Text", text_options(config.eval.text)},
           {"Rows", config.eval.rows.options()},
           {"Device", device_options(config.device)}}};
}

Model quantize(const Model& model, const QuantizeConfig& config, const Device& device) {
  Loading loading("quantizing " + config.model, Loading::Unit::weights);
  anet_quantize_options options = config.scheme.quantize_options(device);
  options.progress = Loading::on_progress;
  options.user_data = &loading;
  return create<Model>(anet_model_quantize, model.get(), &options);
}

std::vector<anet_tensor_report> reports_of(const Model& model) {
  std::vector<anet_tensor_report> reports;
  for (size_t i = 0; i < anet_model_parameter_count(model.get()); ++i) {
    auto report = initialised<anet_tensor_report>();
    call(anet_model_get_quantization_report, model.get(), i, &report);
    reports.push_back(report);
  }
  return reports;
}

void print_table(std::vector<anet_tensor_report> reports, bool all) {
  constexpr size_t shown = 10;
  if (!all) {
    std::erase_if(reports,
                  [](const auto& report) { return report.compression == ANET_COMPRESSION_NONE; });
    std::stable_sort(reports.begin(), reports.end(),
                     [](const auto& a, const auto& b) { return a.relative_rms > b.relative_rms; });
    if (reports.size() > shown) reports.resize(shown);
  }
  std::printf("%-46s %-16s %9s %9s %10s %10s %8s\n", "matrix", "scheme", "before", "after", "worst",
              "RMS", "relative");
  for (const anet_tensor_report& report : reports)
    std::printf("%-46s %-16s %9s %9s %10.3g %10.3g %7.2f%%\n", report.name,
                scheme_name(report.compression, report.block_size).c_str(),
                format_bytes(report.bytes_before).c_str(), format_bytes(report.bytes_after).c_str(),
                report.worst, report.rms, 100 * report.relative_rms);
}

struct Loss {
  double before = 0;
  double after = 0;
};

void print_summary(const std::vector<anet_tensor_report>& reports, const Loss* loss) {
  uint64_t before = 0, after = 0;
  for (const anet_tensor_report& report : reports) {
    before += report.bytes_before;
    after += report.bytes_after;
  }
  std::printf("size        %s as fp32, %s now: %.2f bits a weight\n", format_bytes(before).c_str(),
              format_bytes(after).c_str(),
              32.0 * static_cast<double>(after) / static_cast<double>(before));
  if (loss == nullptr) return;
  const double change = std::exp(loss->after - loss->before) - 1;
  std::printf("perplexity  %.4f before, %.4f after (%+.2f %%)\n", std::exp(loss->before),
              std::exp(loss->after), 100 * change);
}

void print_json(const std::vector<anet_tensor_report>& reports, const Loss* loss) {
  const Json object = json_object();
  if (loss != nullptr) {
    json_set(object, "loss_before", loss->before);
    json_set(object, "loss_after", loss->after);
    json_set(object, "perplexity_before", std::exp(loss->before));
    json_set(object, "perplexity_after", std::exp(loss->after));
  }
  Json tensors = json_array();
  for (const anet_tensor_report& report : reports) {
    Json tensor = json_object();
    json_set(tensor, "name", report.name);
    json_set(tensor, "scheme", scheme_name(report.compression, report.block_size));
    json_set_count(tensor, "bytes_before", report.bytes_before);
    json_set_count(tensor, "bytes_after", report.bytes_after);
    json_set(tensor, "worst", report.worst);
    json_set(tensor, "rms", report.rms);
    json_set(tensor, "relative_rms", report.relative_rms);
    json_append(tensors, std::move(tensor));
  }
  json_set(object, "tensors", std::move(tensors));
  std::printf("%s\n", json_text(object.get()).c_str());
}

double loss_of(const Device& device, const Model& model, const TextSource& text,
               const EvalData& data) {
  const LoadedAdapters none;
  return measure(open_measurement(device, model, none, text, data),
                 static_cast<uint64_t>(data.windows))
      .loss;
}

} // namespace

int run_quantize(const Arguments& arguments) {
  QuantizeConfig config;
  const CommandLine line = quantize_command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (config.model.empty()) throw UsageError("--model is required");
  if (!config.scheme.given())
    throw UsageError("--scheme is required: int8, int8-block, int4 or palette4");
  const Device device = open_device(config.device);
  const std::string path =
      resolve_checkpoint(config.model, config.best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  const Model model = load_model(path, ANET_CHECKPOINT_LATEST);
  const Model small = quantize(model, config, device);
  const std::vector<anet_tensor_report> reports = reports_of(small);
  Loss loss;
  const bool measured = !config.eval.path.empty();
  if (measured) {
    const TextSource text = open_text(config.eval.text, facts_of_model(model, path));
    loss.before = loss_of(device, model, text, config.eval);
    loss.after = loss_of(device, small, text, config.eval);
  }
  if (!config.output.empty()) call(anet_model_save, small.get(), config.output.c_str());
  if (config.json) {
    print_json(reports, measured ? &loss : nullptr);
    return exit_ok;
  }
  print_table(reports, config.all);
  print_summary(reports, measured ? &loss : nullptr);
  if (!config.output.empty()) std::printf("wrote       %s\n", config.output.c_str());
  return exit_ok;
}

} // namespace cli
