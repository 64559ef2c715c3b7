// Adapters on the small model.
#pragma once

#include "base/float16.h"
#include "base/status.h"
#include "support.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <string>

namespace anet::test {

inline std::shared_ptr<backend::Device> cpu(int threads = 2) {
  return backend::open_device("cpu", {.threads = threads});
}

// The message of an error, which has the expected status.
template <typename Action>
std::string error_of(Action&& action, Status expected) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.status() == expected);
    return error.message();
  }
  FAIL("expected an error");
  return {};
}

inline std::shared_ptr<model::Adapter> small_adapter(std::shared_ptr<const model::Model> model,
                                                     model::LoraOptions options = {},
                                                     uint64_t seed = 5) {
  auto adapter = std::make_shared<model::Adapter>(std::move(model), options, seed);
  // B is zero at the start, which would hide half of the gradients.
  Random random(seed, 1000);
  for (const model::Parameter& parameter : adapter->parameters())
    if (parameter.port.ends_with("_lora_b"))
      random.fill_normal(adapter->values(parameter), 0.0f, 0.1f);
  return adapter;
}

// The nearest codes of one scale a row, by the definition of the format.
inline mil::CompressedWeight int8_channel(std::span<const float> values, int64_t rows,
                                          int64_t columns) {
  std::vector<std::byte> codes(values.size()), scales(static_cast<size_t>(rows) * 2);
  for (int64_t row = 0; row < rows; ++row) {
    const auto line =
        values.subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns));
    float largest = 1e-6f;
    for (const float value : line) largest = std::max(largest, std::abs(value));
    const uint16_t half = float_to_half(largest / 127);
    std::memcpy(scales.data() + row * 2, &half, 2);
    for (int64_t i = 0; i < columns; ++i) {
      const float code = std::nearbyint(line[static_cast<size_t>(i)] / half_to_float(half));
      codes[static_cast<size_t>(row * columns + i)] =
          static_cast<std::byte>(static_cast<int8_t>(std::clamp(code, -127.0f, 127.0f)));
    }
  }
  return {mil::Compression::int8_channel, rows, columns, 0, mil::Bytes(std::move(codes)),
          mil::Bytes(std::move(scales))};
}

// A copy whose matrices are compressed.
inline std::shared_ptr<model::Model> compressed_copy(const model::Model& model) {
  auto copy = std::make_shared<model::Model>(
      model.config(), [](const model::Parameter& parameter) { return parameter.shape.size() > 1; });
  for (size_t i = 0; i < copy->parameters().all().size(); ++i) {
    const model::Parameter& to = copy->parameters().all()[i];
    const auto values = model.values(model.parameters().all()[i]);
    if (to.is_compressed())
      copy->set_compressed(to, int8_channel(values, to.shape[0], to.shape[1]));
    else
      std::copy(values.begin(), values.end(), copy->values(to).begin());
  }
  return copy;
}

// Its values, uncompressed.
inline std::shared_ptr<model::Model> expanded_copy(const model::Model& model) {
  auto copy = std::make_shared<model::Model>(model.config());
  for (size_t i = 0; i < copy->parameters().all().size(); ++i)
    model.read(model.parameters().all()[i], copy->values(copy->parameters().all()[i]));
  return copy;
}

} // namespace anet::test
