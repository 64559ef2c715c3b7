#include "support.h"

#include <cmath>
#include <limits>

using namespace test;

namespace {

anet_quantize_options scheme(anet_compression compression, int32_t block_size = 0) {
  auto options = initialised<anet_quantize_options>();
  options.compression = compression;
  options.block_size = block_size;
  return options;
}

Model quantize(const Model& model, const anet_quantize_options& options) {
  anet_model* quantized = nullptr;
  must(anet_model_quantize, model.get(), &options, &quantized);
  return Model(quantized);
}

Outcome refusal(const Model& model, const anet_quantize_options& options) {
  anet_model* quantized = nullptr;
  const Outcome outcome = attempt(anet_model_quantize, model.get(), &options, &quantized);
  CHECK(quantized == nullptr);
  return outcome;
}

anet_tensor_report report_of(const Model& model, size_t index) {
  auto report = initialised<anet_tensor_report>();
  must(anet_model_get_quantization_report, model.get(), index, &report);
  return report;
}

size_t find(const Model& model, const char* name) {
  size_t index = 0;
  must(anet_model_find_parameter, model.get(), name, &index);
  return index;
}

anet_parameter parameter_of(const Model& model, size_t index) {
  auto parameter = initialised<anet_parameter>();
  must(anet_model_get_parameter, model.get(), index, &parameter);
  return parameter;
}

std::vector<float> read(const Model& model, size_t index) {
  std::vector<float> values(parameter_of(model, index).element_count);
  must(anet_model_read_parameter, model.get(), index, values.data(), values.size());
  return values;
}

const char* const up = "model.layers.0.mlp.up_proj.weight"; // [intermediate, 32]

} // namespace

TEST_CASE("each scheme has the size and the error that it promises") {
  const Model model = create_model();
  const size_t index = find(model, up);
  const std::vector<float> before = read(model, index);
  const auto rows = static_cast<uint64_t>(parameter_of(model, index).shape[0]);
  struct Case {
    anet_compression compression;
    uint64_t bytes;
    double steps; // of the largest value in what shares a scale, half of them is the worst error
  };
  // Codes, then fp16 scales: one a row, one for 32 columns; 16 entries a row for palettes.
  for (const Case& c : {Case{ANET_COMPRESSION_INT8_CHANNEL, rows * 32 + rows * 2, 127},
                        Case{ANET_COMPRESSION_INT8_BLOCK, rows * 32 + rows * 2, 127},
                        Case{ANET_COMPRESSION_INT4_BLOCK, rows * 16 + rows * 2, 7},
                        Case{ANET_COMPRESSION_PALETTE4, rows * 16 + rows * 32, 7}}) {
    CAPTURE(anet_compression_name(c.compression));
    const Model small = quantize(model, scheme(c.compression));
    const anet_parameter parameter = parameter_of(small, index);
    CHECK(parameter.compression == c.compression);
    CHECK(parameter.offset == ANET_NO_OFFSET);
    CHECK(parameter.bytes == c.bytes);
    const anet_tensor_report report = report_of(small, index);
    CHECK(std::string(report.name) == up);
    CHECK(report.bytes_before == rows * 32 * 4);
    CHECK(report.bytes_after == c.bytes);
    CHECK(report.has_error == 1);
    // The report against the values themselves.
    const std::vector<float> after = read(small, index);
    double worst = 0, sum = 0, energy = 0, largest = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      const double error = double{before[i]} - after[i];
      worst = std::max(worst, std::abs(error));
      largest = std::max(largest, double{std::abs(before[i])});
      sum += error * error;
      energy += double{before[i]} * before[i];
    }
    const auto count = static_cast<double>(before.size());
    CHECK(report.worst == doctest::Approx(worst).epsilon(1e-5));
    CHECK(report.rms == doctest::Approx(std::sqrt(sum / count)).epsilon(1e-5));
    CHECK(report.relative_rms == doctest::Approx(std::sqrt(sum / energy)).epsilon(1e-5));
    CHECK(worst < 1.5 * largest / c.steps);
    // Norms stay.
    const size_t norm = find(small, "model.norm.weight");
    CHECK(report_of(small, norm).compression == ANET_COMPRESSION_NONE);
    CHECK(read(small, norm) == read(model, norm));
    CHECK(anet_model_weight_bytes(small.get()) < anet_model_weight_bytes(model.get()) / 2);
  }
}

TEST_CASE("overrides choose by name, the last one wins") {
  const Model model = create_model();
  anet_quantize_options options = scheme(ANET_COMPRESSION_INT4_BLOCK, 16);
  const anet_quantize_override overrides[] = {{"layers.0.*", ANET_COMPRESSION_INT8_CHANNEL, 0},
                                              {"up_proj.weight", ANET_COMPRESSION_NONE, 0}};
  options.overrides = overrides;
  options.override_count = 2;
  const Model small = quantize(model, options);
  const auto compression = [&](const char* name) {
    return parameter_of(small, find(small, name)).compression;
  };
  CHECK(compression(up) == ANET_COMPRESSION_NONE);
  CHECK(compression("model.layers.0.mlp.gate_proj.weight") == ANET_COMPRESSION_INT8_CHANNEL);
  CHECK(compression("model.layers.1.mlp.gate_proj.weight") == ANET_COMPRESSION_INT4_BLOCK);
  CHECK(parameter_of(small, find(small, "model.layers.1.mlp.gate_proj.weight")).block_size == 16);
  // Exceptions alone.
  options.compression = ANET_COMPRESSION_NONE;
  options.block_size = 0;
  const Model partly = quantize(model, options);
  CHECK(parameter_of(partly, find(partly, "model.layers.1.mlp.gate_proj.weight")).compression ==
        ANET_COMPRESSION_NONE);
}

TEST_CASE("what cannot be quantized") {
  const Model model = create_model();
  CHECK(refusal(model, scheme(5)).status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(refusal(model, scheme(-2)).status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(refusal(model, scheme(ANET_COMPRESSION_INT8_CHANNEL, 32)).status ==
        ANET_E_UNSUPPORTED_OPTION);
  const Outcome uneven = refusal(model, scheme(ANET_COMPRESSION_INT4_BLOCK, 24));
  CHECK(uneven.status == ANET_E_UNSUPPORTED);
  CHECK(uneven.says("model."));
  anet_quantize_options options = scheme(ANET_COMPRESSION_INT8_CHANNEL);
  const anet_quantize_override unknown{"layers.7.*", ANET_COMPRESSION_NONE, 0};
  options.overrides = &unknown;
  options.override_count = 1;
  const Outcome outcome = refusal(model, options);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("layers.7.*"));
  options = scheme(ANET_COMPRESSION_INT8_CHANNEL);
  options.progress = [](const anet_progress*, void*) -> int32_t { return 1; };
  CHECK(refusal(model, options).status == ANET_E_CANCELLED);
  options = scheme(ANET_COMPRESSION_INT8_CHANNEL);
  options.reserved = 1;
  CHECK(refusal(model, options).status == ANET_E_UNSUPPORTED_OPTION);
  std::vector<float> values = read(model, find(model, up));
  values[5] = std::numeric_limits<float>::quiet_NaN();
  must(anet_model_write_parameter, model.get(), find(model, up), values.data(), values.size());
  CHECK(refusal(model, scheme(ANET_COMPRESSION_INT8_CHANNEL)).status == ANET_E_INVALID_DATA);
}

TEST_CASE("a compressed model is read but not written, and its matrices are not trained") {
  const Device device = open_device();
  const Model model = create_model();
  const Model small = quantize(model, scheme(ANET_COMPRESSION_INT8_CHANNEL));
  const size_t index = find(small, up);
  const std::vector<float> values = read(small, index);
  CHECK(attempt(anet_model_write_parameter, small.get(), index, values.data(), values.size())
            .status == ANET_E_UNSUPPORTED);
  anet_session_options options = session_options();
  options.trainable = "up_proj";
  anet_session* none = nullptr;
  CHECK(attempt(anet_session_create, device.get(), small.get(), &options, &none).status ==
        ANET_E_UNSUPPORTED);
  // What is not compressed can be.
  const size_t norm = find(small, "model.norm.weight");
  const std::vector<float> before = read(small, norm);
  {
    options.trainable = "norm.weight";
    const Session session = create_session(device.get(), small.get(), options);
    for (int i = 0; i < 3; ++i) step(session.get(), Tokens(1));
  }
  CHECK(read(small, norm) != before);
  CHECK(read(small, index) == values);
  auto report = initialised<anet_tensor_report>();
  CHECK(attempt(anet_model_get_quantization_report, small.get(), size_t{1000}, &report).status ==
        ANET_E_OUT_OF_RANGE);
  CHECK(attempt(anet_model_get_quantization_report, nullptr, size_t{0}, &report).status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(std::string(anet_compression_name(ANET_COMPRESSION_NONE)) == "fp32");
  CHECK(std::string(anet_compression_name(99)) == "undefined");
  CHECK(anet_model_weight_bytes(nullptr) == 0);
}

TEST_CASE("a compressed model writes what its values say") {
  const Device device = open_device(2);
  const Model model = create_model();
  const Model small = quantize(model, scheme(ANET_COMPRESSION_INT4_BLOCK));
  // The same values, uncompressed.
  const Model dense = create_model();
  for (size_t i = 0; i < anet_model_parameter_count(dense.get()); ++i) {
    const std::vector<float> values = read(small, i);
    must(anet_model_write_parameter, dense.get(), i, values.data(), values.size());
  }
  const auto logits = [&](const Model& of) {
    anet_generator* handle = nullptr;
    must(anet_generator_create, device.get(), of.get(), nullptr, nullptr, &handle);
    const Generator generator(handle);
    const std::vector<int32_t> prompt = {5, 6, 7};
    std::vector<float> result(258);
    must(anet_generator_logits, handle, prompt.data(), prompt.size(), result.data(), result.size());
    return result;
  };
  const auto expected = logits(dense), seen = logits(small);
  for (size_t i = 0; i < seen.size(); ++i) CHECK(std::abs(seen[i] - expected[i]) < 1e-5);
}

TEST_CASE("an adapter is trained over a compressed model and merged into the original") {
  const Device device = open_device();
  const Model model = create_model();
  const Model small = quantize(model, scheme(ANET_COMPRESSION_INT8_CHANNEL));
  anet_adapter* handle = nullptr;
  must(anet_adapter_create, small.get(), nullptr, &handle);
  const Adapter adapter(handle);
  const anet_session_options options = session_options();
  anet_session* made = nullptr;
  must(anet_session_create_adapter, device.get(), handle, &options, &made);
  const Session session(made);
  const Tokens tokens(6);
  const double before = eval(made, tokens);
  for (int i = 0; i < 20; ++i) step(made, tokens);
  CHECK(eval(made, tokens) < before - 0.05);
  const anet_weighted_adapter own{handle, 1};
  for (const Model* base : {&small, &model}) {
    anet_model* merged = nullptr;
    must(anet_model_merge, base->get(), &own, size_t{1}, &merged);
    const Model owner(merged);
    CHECK(anet_model_weight_bytes(merged) == anet_model_weight_bytes(model.get()));
  }
  CHECK(attempt(anet_model_merge_in_place, small.get(), &own, size_t{1}).status != ANET_OK);
}

TEST_CASE(
    "compressed models go to files and come back, and files are compressed as they are read") {
  const Folder folder;
  const Model model = create_model();
  const anet_quantize_options options = scheme(ANET_COMPRESSION_PALETTE4);
  const Model small = quantize(model, options);
  const std::string path = folder.path("small.safetensors");
  must(anet_model_save, small.get(), path.c_str());
  anet_model* handle = nullptr;
  must(anet_model_load, path.c_str(), nullptr, &handle);
  const Model loaded(handle);
  const size_t index = find(loaded, up);
  CHECK(parameter_of(loaded, index).compression == ANET_COMPRESSION_PALETTE4);
  CHECK(read(loaded, index) == read(small, index));
  CHECK(report_of(loaded, index).has_error == 0);

  const std::string whole = folder.path("whole.safetensors");
  must(anet_model_save, model.get(), whole.c_str());
  auto loading = initialised<anet_model_load_options>();
  loading.quantize = &options;
  must(anet_model_load, whole.c_str(), &loading, &handle);
  const Model compressed(handle);
  CHECK(read(compressed, index) == read(small, index));
  CHECK(report_of(compressed, index).has_error == 1);
  anet_quantize_options nested = options;
  nested.progress = [](const anet_progress*, void*) -> int32_t { return 0; };
  loading.quantize = &nested;
  CHECK(attempt(anet_model_load, whole.c_str(), &loading, &handle).status ==
        ANET_E_UNSUPPORTED_OPTION);
}
