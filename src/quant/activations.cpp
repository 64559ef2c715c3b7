#include "quant/activations.h"

#include "base/float16.h"
#include "base/status.h"
#include "mil/builder.h"
#include "mil/compressed_weight.h"
#include "mil/op_table.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

namespace anet::quant {

namespace {

using mil::DataType;
using mil::Function;
using mil::Literal;
using mil::Operation;
using mil::ValueId;

constexpr double largest_code = 127;
constexpr double smallest_scale = 0x1p-14; // the least normal fp16

double scale_for(double limit) {
  const double scale = std::clamp(limit / largest_code, smallest_scale, 65504.0);
  return half_to_float(double_to_half(scale));
}

// A product of activations and a constant matrix: x [..., in, ...], weight [out, in] or turned.
struct Product {
  std::string_view activation; // names of its arguments
  std::string_view weight;
  std::string_view flag; // that turns a matmul's weight, or empty
  bool turned = false;   // the weight is [in, out]
};

bool all_equal(const Literal* literal, int64_t expected) {
  if (literal == nullptr) return true; // left out: the default
  const std::vector<int64_t> values = literal->integers();
  return std::all_of(values.begin(), values.end(), [=](int64_t v) { return v == expected; });
}

bool is_pointwise(const Function& function, const Operation& op) {
  const mil::Shape& weight = function.type(op.input("weight")).shape;
  const Literal* groups = function.constant(op, "groups");
  return std::all_of(weight.begin() + 2, weight.end(), [](int64_t k) { return k == 1; }) &&
         all_equal(function.constant(op, "strides"), 1) &&
         all_equal(function.constant(op, "pad"), 0) &&
         (groups == nullptr || groups->integer() == 1);
}

bool is_constant(const Function& function, ValueId id) {
  if (function.constant(id) != nullptr) return true;
  const Operation* producer = mil::producer_of(function, id);
  return producer != nullptr && mil::compressed_weight(function, *producer).has_value();
}

std::optional<Product> product_of(const Function& function, const Operation& op) {
  const std::string_view name = op.name();
  const auto fits = [&](const Product& product) {
    const ValueId x = op.input(product.activation), weight = op.input(product.weight);
    const auto is_float = [&](ValueId id) {
      const DataType dtype = function.type(id).dtype;
      return dtype == DataType::fp16 || dtype == DataType::fp32;
    };
    return is_constant(function, weight) && !is_constant(function, x) && is_float(x) &&
           is_float(weight);
  };
  if (name == "conv" || name == "linear") {
    const Product product{"x", "weight", "", false};
    if (name == "conv" && !is_pointwise(function, op)) return std::nullopt;
    return fits(product) ? std::optional(product) : std::nullopt;
  }
  if (name != "matmul") return std::nullopt;
  for (const auto& [x, weight, flag, natural] :
       {std::tuple{"x", "y", "transpose_y", true}, std::tuple{"y", "x", "transpose_x", false}}) {
    const Literal* transposed = function.constant(op, flag);
    const bool is_transposed = transposed != nullptr && transposed->boolean();
    const Product product{x, weight, flag, is_transposed != natural};
    const bool matrix = function.type(op.input(weight)).shape.size() == 2 &&
                        function.type(op.input(x)).shape.size() >= 2;
    if (matrix && fits(product)) return product;
  }
  return std::nullopt;
}

// The values of a constant matrix [rows, columns], turned when it is stored the other way.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> values;
};

Matrix read_matrix(const Function& function, ValueId id, bool turned) {
  const mil::Shape& shape = function.type(id).shape;
  Matrix stored{shape[0], shape[1], {}};
  stored.values.resize(static_cast<size_t>(stored.rows * stored.columns));
  if (const Literal* literal = function.constant(id)) {
    const std::vector<double> numbers = literal->numbers();
    std::transform(numbers.begin(), numbers.end(), stored.values.begin(),
                   [](double number) { return static_cast<float>(number); });
  } else {
    mil::expand(*mil::compressed_weight(function, *mil::producer_of(function, id)), stored.values);
  }
  if (!turned) return stored;
  Matrix result{stored.columns, stored.rows, std::vector<float>(stored.values.size())};
  for (int64_t i = 0; i < result.rows; ++i)
    for (int64_t j = 0; j < result.columns; ++j)
      result.values[static_cast<size_t>(i * result.columns + j)] =
          stored.values[static_cast<size_t>(j * stored.columns + i)];
  return result;
}

// Codes and scales of a matrix, one scale a row.
struct CodedMatrix {
  std::vector<std::byte> codes;
  std::vector<double> scales;
};

CodedMatrix encode(const Matrix& matrix) {
  CodedMatrix coded;
  for (int64_t i = 0; i < matrix.rows; ++i) {
    const auto row =
        std::span(matrix.values)
            .subspan(static_cast<size_t>(i * matrix.columns), static_cast<size_t>(matrix.columns));
    float largest = 0;
    for (const float value : row) largest = std::max(largest, std::fabs(value));
    if (!std::isfinite(largest)) fail(Status::invalid_data, "expected finite weights");
    const double scale = scale_for(largest);
    coded.scales.push_back(scale);
    for (const float value : row) {
      const double code = std::clamp(std::nearbyint(value / scale), -largest_code, largest_code);
      coded.codes.push_back(static_cast<std::byte>(static_cast<int8_t>(code)));
    }
  }
  return coded;
}

class Quantizer {
public:
  Quantizer(const Function& function, const ActivationRanges& ranges, double coverage)
      : function_(function), ranges_(ranges), coverage_(coverage), rewriter_(function) {}

  Function run() && {
    for (const Operation& op : function_.ops) {
      Operation kept = rewriter_.with_mapped_arguments(op);
      if (const auto product = product_of(function_, op)) rewrite(*product, op, kept);
      rewriter_.keep(std::move(kept));
    }
    Function result = std::move(rewriter_).finish().function;
    mil::verify(result);
    return result;
  }

private:
  void rewrite(const Product& product, const Operation& op, Operation& kept) {
    const ValueId x = op.input(product.activation), weight = op.input(product.weight);
    for (mil::Argument& argument : kept.arguments) {
      if (argument.name == product.activation) argument.values = {coded_activation(x)};
      if (argument.name == product.weight) argument.values = {coded_weight(weight, product.turned)};
      if (argument.name == product.flag && product.turned) {
        const bool flag = function_.constant(op, product.flag)->boolean();
        argument.values = {rewriter_.constant(Literal::boolean(!flag))};
      }
    }
  }

  ValueId coded_activation(ValueId x) {
    const auto [found, is_new] = activations_.try_emplace(x, mil::no_value);
    if (!is_new) return found->second;
    const mil::Value& value = function_.value(x);
    const double scale = scale_for(ranges_.limit(value.name, coverage_));
    const ValueId step = rewriter_.constant(Literal::scalar(value.type.dtype, scale));
    const ValueId type = rewriter_.constant(Literal::string("int8"));
    const ValueId codes = rewriter_.add("quantize", {{"input", {rewriter_.mapped(x)}, false},
                                                     {"scale", {step}, false},
                                                     {"output_dtype", {type}, false}});
    found->second =
        rewriter_.add("dequantize", {{"input", {codes}, false}, {"scale", {step}, false}});
    return found->second;
  }

  ValueId coded_weight(ValueId id, bool turned) {
    const auto [found, is_new] = weights_.try_emplace({id, turned}, mil::no_value);
    if (!is_new) return found->second;
    const Operation* producer = mil::producer_of(function_, id);
    const auto compressed = mil::compressed_weight(function_, *producer);
    if (compressed && compressed->compression == mil::Compression::int8_channel && !turned)
      return found->second = rewriter_.mapped(id);
    const mil::Type& type = function_.type(id);
    mil::Shape shape = type.shape;
    if (turned) std::swap(shape[0], shape[1]);
    CodedMatrix coded = encode(read_matrix(function_, id, turned));
    const auto constant = [&](const char* name, Literal literal) {
      return mil::Argument{name, {rewriter_.constant(std::move(literal))}, false};
    };
    const mil::Shape scales = {shape[0]};
    return found->second = rewriter_.add(
               "constexpr_affine_dequantize",
               {constant("quantized_data", Literal::bytes({DataType::int8, shape, {}},
                                                          mil::Bytes(std::move(coded.codes)))),
                constant("zero_point", Literal::scalar(DataType::int8, 0)),
                constant("scale", Literal::numbers({type.dtype, scales, {}}, coded.scales)),
                constant("axis", Literal::int32(0))});
  }

  const Function& function_;
  const ActivationRanges& ranges_;
  double coverage_;
  mil::Rewriter rewriter_;
  std::map<ValueId, ValueId> activations_; // dequantized, by the value of the source
  std::map<std::pair<ValueId, bool>, ValueId> weights_;
};

// What products read, in the order in which they read it first.
std::vector<ValueId> activations_of(const Function& function) {
  std::vector<ValueId> ids;
  for (const Operation& op : function.ops) {
    const auto product = product_of(function, op);
    if (!product) continue;
    const ValueId x = op.input(product->activation);
    if (std::find(ids.begin(), ids.end(), x) == ids.end()) ids.push_back(x);
  }
  if (ids.empty()) {
    fail(Status::unsupported, "expected a 1x1 convolution, linear or matmul with a constant ",
         "matrix in function ", function.name, ", seen none");
  }
  return ids;
}

} // namespace

void ActivationRanges::observe(const std::string& value, std::span<const float> numbers) {
  constexpr size_t bin_count = 0x7f80; // the bits of infinity
  Magnitudes& magnitudes = values_[value];
  magnitudes.bins.resize(bin_count);
  for (const float number : numbers) {
    const float magnitude = std::fabs(number);
    const uint32_t bin = std::bit_cast<uint32_t>(magnitude) >> 16;
    if (bin >= bin_count) {
      fail(Status::invalid_data, "expected finite numbers to calibrate ", value, ", seen ", number);
    }
    magnitudes.largest = std::max(magnitudes.largest, magnitude);
    ++magnitudes.bins[bin];
    ++magnitudes.count;
  }
}

float ActivationRanges::limit(const std::string& value, double coverage) const {
  const auto found = values_.find(value);
  if (found == values_.end() || found->second.count == 0)
    fail(Status::not_found, "expected calibration data for ", value, ", seen none");
  const Magnitudes& magnitudes = found->second;
  const double wanted = coverage * static_cast<double>(magnitudes.count);
  uint64_t covered = 0;
  for (size_t bin = 0; bin < magnitudes.bins.size(); ++bin) {
    covered += magnitudes.bins[bin];
    if (static_cast<double>(covered) < wanted) continue;
    const auto end = std::bit_cast<float>(static_cast<uint32_t>(bin + 1) << 16);
    return std::min(end, magnitudes.largest);
  }
  return magnitudes.largest;
}

Calibration calibration_of(const Function& function) {
  Function source = function;
  source.outputs.clear();
  Calibration calibration;
  mil::Builder builder(std::move(source));
  for (const ValueId id : activations_of(function)) {
    calibration.values.push_back(function.value(id).name);
    builder.output(builder.unary("identity", id));
  }
  calibration.function = std::move(builder).finish();
  return calibration;
}

Function quantize_activations(const Function& function, const ActivationRanges& ranges,
                              const ActivationOptions& options) {
  if (!(options.coverage > 0 && options.coverage <= 1)) {
    fail(Status::invalid_argument, "expected a coverage above 0 and at most 1, seen ",
         options.coverage);
  }
  activations_of(function); // throws when there is nothing to do
  return Quantizer(function, ranges, options.coverage).run();
}

} // namespace anet::quant
