// Whole models from files, compressed while they are read where that is asked for.
#include "base/status.h"
#include "io/model_file/compress_tensor.h"
#include "io/model_file/model_source.h"

#include <algorithm>
#include <bit>

namespace anet::io {
namespace {

// NaN and infinite values do not stop a load: people look into such models to find out why.
void warn_of_values(const model::Parameter& parameter, std::span<const float> values,
                    std::vector<std::string>& warnings) {
  // Integers and narrow counters, so that compilers vectorise the scan of every weight.
  constexpr uint32_t infinity = 0x7f800000u;
  int64_t nan = 0;
  int64_t infinite = 0;
  for (size_t first = 0; first < values.size(); first += size_t{1} << 20) {
    const auto part = values.subspan(first, std::min(values.size() - first, size_t{1} << 20));
    uint32_t above = 0;
    uint32_t equal = 0;
    for (const float value : part) {
      const uint32_t magnitude = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
      above += magnitude > infinity ? 1 : 0;
      equal += magnitude == infinity ? 1 : 0;
    }
    nan += above;
    infinite += equal;
  }
  const auto warn = [&](int64_t count, const char* what) {
    if (count != 0)
      warnings.push_back(
          concat(parameter.name, ": ", count, count == 1 ? " value is " : " values are ", what));
  };
  warn(nan, "NaN");
  warn(infinite, "infinite");
}

class ModelLoader {
public:
  ModelLoader(ModelSource& source, const LoadOptions& options, LoadedModel& result)
      : source_(source), options_(options), result_(result), pool_(options.pool) {}

  void load() {
    if (options_.recipe) check_recipe(*options_.recipe, source_.config());
    const auto compressed = [&](const model::Parameter& parameter) {
      return wanted_scheme(parameter).has_value();
    };
    result_.model = std::make_shared<model::Model>(source_.config(), compressed);
    TensorProgress state{.total = result_.model->parameters().weight_count()};
    for (const model::Parameter& parameter : result_.model->parameters().all()) {
      const quant::TensorReport report = load(parameter);
      if (result_.model->is_compressed()) result_.quantization.push_back(report);
      state.name = parameter.name;
      state.done += parameter.elements;
      if (options_.progress) options_.progress(state);
    }
  }

private:
  std::optional<quant::Scheme> wanted_scheme(const model::Parameter& parameter) const {
    if (!options_.recipe) return source_.scheme(parameter);
    return quant::scheme_for(*options_.recipe, parameter.name, parameter.shape);
  }

  quant::TensorReport load(const model::Parameter& parameter) {
    const std::optional<quant::Scheme> scheme = wanted_scheme(parameter);
    if (!scheme) {
      const std::span<float> values = result_.model->values(parameter);
      source_.read(parameter, values);
      warn_of_values(parameter, values, result_.warnings);
      return report_of(parameter);
    }
    if (scheme == source_.scheme(parameter)) {
      mil::CompressedWeight weight = source_.compressed(parameter);
      const quant::TensorReport report = report_of(parameter, *scheme, weight);
      result_.model->set_compressed(parameter, std::move(weight));
      return report;
    }
    std::vector<float> values(static_cast<size_t>(parameter.elements));
    source_.read(parameter, values);
    CompressedTensor tensor = compress_tensor(pool(), parameter, values, *scheme, memory_);
    result_.model->set_compressed(parameter, std::move(tensor.weight));
    return tensor.report;
  }

  ThreadPool& pool() {
    if (pool_ == nullptr) pool_ = &own_pool_.emplace();
    return *pool_;
  }

  ModelSource& source_;
  const LoadOptions& options_;
  LoadedModel& result_;
  ThreadPool* pool_;
  std::optional<ThreadPool> own_pool_;
  PartAllocator memory_{code_piece_bytes};
};

} // namespace

mil::CompressedWeight ModelSource::compressed(const model::Parameter& parameter) {
  fail(Status::internal, "expected a compressed tensor '", parameter.name, "' in a file of ",
       format());
}

LoadedModel load_model(const std::string& path, const LoadOptions& options, FileSystem& files) {
  const std::unique_ptr<ModelSource> source = open_model(path, files);
  LoadedModel result;
  result.extras = source->extras();
  result.format = source->format();
  ModelLoader(*source, options, result).load();
  return result;
}

} // namespace anet::io
