#include "train/dropout.h"

#include "backend/host_access.h"
#include "base/random.h"
#include "base/status.h"
#include "base/thread_pool.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace anet::train {

namespace {

using backend::Layout;

constexpr std::array<std::string_view, 5> inputs = {"attention_dropout", "context_dropout",
                                                    "mlp_dropout", "gated_dropout", "head_dropout"};

// The top bit keeps these streams apart from those of initialisation and shuffling.
uint64_t stream_of(int64_t step, int32_t layer, const std::string& port) {
  const auto input = std::find(inputs.begin(), inputs.end(), port) - inputs.begin();
  return uint64_t{1} << 63 | static_cast<uint64_t>(step) << 20 | static_cast<uint64_t>(layer) << 3 |
         static_cast<uint64_t>(input);
}

bool is_plain(const Layout& layout) {
  return layout.dtype == mil::DataType::fp32 && layout.is_contiguous();
}

} // namespace

void fill_dropout(ThreadPool& pool, const DropoutMoment& moment, double probability, int32_t layer,
                  const std::string& port, int64_t first, std::span<float> mask) {
  const Random random(moment.seed, stream_of(moment.step, layer, port));
  const auto kept = static_cast<float>(1 / (1 - probability));
  const auto threshold = static_cast<uint64_t>(std::llround(probability * 0x1p32));
  const uint64_t origin =
      (static_cast<uint64_t>(moment.micro_batch) << 40) + static_cast<uint64_t>(first);
  const auto count = static_cast<int64_t>(mask.size());
  // One draw is four elements.
  pool.parallel_for((count + 3) / 4, 256, [&](int64_t begin, int64_t end) {
    for (int64_t draw = begin; draw < end; ++draw) {
      const PhiloxBlock bits = random.block_at(origin + static_cast<uint64_t>(draw));
      const int64_t size = std::min<int64_t>(4, count - draw * 4);
      for (int64_t i = 0; i < size; ++i)
        mask[static_cast<size_t>(draw * 4 + i)] =
            bits[static_cast<size_t>(i)] < threshold ? 0.0f : kept;
    }
  });
}

DropoutMasks::DropoutMasks(backend::Device& device, double probability,
                           const std::map<std::string, Layout>& layouts)
    : device_(device), probability_(probability) {
  size_t largest = 0;
  for (const auto& [port, layout] : layouts) {
    buffers_.emplace(port, device.allocate(layout));
    if (!is_plain(layout))
      largest = std::max(largest, static_cast<size_t>(mil::element_count(layout.shape)));
  }
  values_.resize(largest);
}

backend::View DropoutMasks::view(const std::string& port, const Layout& layout) const {
  return {*buffers_.at(port), 0, layout};
}

void DropoutMasks::fill(const DropoutMoment& moment, int32_t layer, const std::string& port,
                        int64_t first, const backend::View& view) {
  const auto count = static_cast<size_t>(mil::element_count(view.layout.shape));
  ThreadPool& pool = device_.thread_pool();
  const backend::Mapping mapping(*view.buffer, true);
  if (is_plain(view.layout)) {
    const std::span values(reinterpret_cast<float*>(mapping.data() + view.offset), count);
    return fill_dropout(pool, moment, probability_, layer, port, first, values);
  }
  const std::span values = std::span(values_).first(count);
  fill_dropout(pool, moment, probability_, layer, port, first, values);
  backend::TensorCopy(Layout::contiguous(mil::DataType::fp32, view.layout.shape), view.layout)
      .run(reinterpret_cast<const std::byte*>(values.data()), mapping.data() + view.offset, &pool);
}

uint64_t DropoutMasks::bytes(const std::map<std::string, Layout>& layouts) {
  uint64_t sum = 0, largest = 0;
  for (const auto& [port, layout] : layouts) {
    sum += static_cast<uint64_t>(layout.span_bytes());
    if (!is_plain(layout))
      largest = std::max(largest,
                         sizeof(float) * static_cast<uint64_t>(mil::element_count(layout.shape)));
  }
  return sum + largest;
}

} // namespace anet::train
