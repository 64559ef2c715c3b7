#include "train/optimizer.h"

#include "base/float16.h"
#include "base/random.h"
#include "train/optimizer_kernels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace anet::train {

namespace {

constexpr int64_t segment_elements = 1 << 16; // 256 KB of each array: fits the second-level cache

// The second highest bit keeps these streams apart from those of dropout, which have the highest.
uint32_t rounding_noise(uint64_t seed, int64_t update) {
  const Random random(seed, uint64_t{1} << 62 | static_cast<uint64_t>(update));
  return random.block_at(0)[0];
}

} // namespace

std::vector<std::string> Optimizer::state_names(const SessionOptions& options) {
  if (options.optimizer == OptimizerKind::adamw) return {"exp_avg", "exp_avg_sq"};
  if (options.momentum != 0) return {"momentum_buffer"};
  return {};
}

mil::DataType Optimizer::state_type(const SessionOptions& options) {
  return options.optimizer_precision == PrecisionMode::bf16 ? mil::DataType::bf16
                                                            : mil::DataType::fp32;
}

uint64_t Optimizer::state_bytes(const SessionOptions& options) {
  const auto width = static_cast<uint64_t>(mil::data_type_bits(state_type(options))) / 8;
  return width * state_names(options).size();
}

Optimizer::Optimizer(const SessionOptions& options, const TrainedTensors& tensors,
                     const model::Parameter* table, bool shared)
    : options_(options), names_(state_names(options)), flat_size_(tensors.flat_size()),
      shared_(shared) {
  for (const GradientPart& part : tensors.parts()) {
    const TrainedTensor& tensor = tensors.all()[part.tensor];
    const bool is_table = tensor.parameter == table;
    if (is_table && part.begin == 0) seen_ = SeenRows(table->shape[0]);
    add_part(tensor, part, is_table ? table->shape[1] : 0);
  }
  updated_rows_ = seen_;
  segment_sums_.resize(segments_.size());
  summed_.resize(segments_.size());
}

// Parts of a table are whole rows.
void Optimizer::add_part(const TrainedTensor& tensor, const GradientPart& part, int64_t row_size) {
  const int64_t rows = row_size == 0 ? 0 : std::max<int64_t>(1, segment_elements / row_size);
  const int64_t size = row_size == 0 ? segment_elements : rows * row_size;
  parts_.push_back({.begin = tensor.offset + part.begin,
                    .end = tensor.offset + part.end,
                    .weights = tensor.parameter->offset + part.begin,
                    .part = parts_.size(),
                    .decay = tensor.parameter->decay,
                    .row_size = row_size,
                    .first_row = row_size == 0 ? 0 : part.begin / row_size});
  const int64_t elements = part.end - part.begin;
  for (int64_t begin = 0; begin < elements; begin += size)
    segments_.push_back(segment_of(parts_.back(), begin, std::min(begin + size, elements)));
}

Optimizer::Segment Optimizer::segment_of(const Segment& part, int64_t begin, int64_t end) {
  Segment segment = part;
  segment.begin += begin;
  segment.end = part.begin + end;
  segment.weights += begin;
  segment.within = begin;
  segment.first_row += part.row_size == 0 ? 0 : begin / part.row_size;
  return segment;
}

OptimizerState Optimizer::fresh_state() const {
  OptimizerState state;
  for (size_t i = 0; i < names_.size(); ++i)
    state.arrays.emplace_back(flat_size_, state_type(options_));
  return state;
}

void Optimizer::allocate() {
  if (!is_allocated()) state_.arrays = fresh_state().arrays;
}

OptimizerState Optimizer::exchange(OptimizerState state) noexcept {
  return std::exchange(state_, std::move(state));
}

// Bits other than +0 count: -0 in a state changes the sign of a weight that is 0.
void Optimizer::see_rows_of_state() {
  if (shared_) return;
  for (const Segment& segment : segments_) {
    if (segment.row_size == 0) continue;
    for (int64_t at = segment.begin; at < segment.end; at += segment.row_size) {
      const auto row =
          static_cast<int32_t>(segment.first_row + (at - segment.begin) / segment.row_size);
      for (const StateArray& array : state_.arrays) {
        const auto bytes = array.bytes(at, segment.row_size);
        if (std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; }))
          seen_.add({&row, 1});
      }
    }
  }
}

template <typename Visitor>
void Optimizer::for_each_run(const SeenRows& seen_rows, const Segment& segment, bool narrow,
                             Visitor&& visit) const {
  if (segment.row_size == 0 || (shared_ && !narrow))
    return visit(segment.begin, segment.end, narrow ? Source::halves : Source::sums);
  const auto place = [&](int64_t row) {
    return segment.begin + (row - segment.first_row) * segment.row_size;
  };
  const Source unseen = shared_ ? Source::halves : Source::none;
  const int64_t rows = (segment.end - segment.begin) / segment.row_size;
  seen_rows.for_each_run(segment.first_row, segment.first_row + rows,
                         [&](int64_t begin, int64_t end, bool seen) {
                           visit(place(begin), place(end), seen ? Source::sums : unseen);
                         });
}

// Of what comes from one source. That of a table is the sum over its rows, so that rows of zeros
// can be left out.
double Optimizer::sum_of_squares(const Segment& segment, Source of,
                                 std::span<const float> gradients, const uint16_t* halves) const {
  double sum = 0;
  const bool narrow = halves != nullptr;
  for_each_run(seen_, segment, narrow, [&](int64_t begin, int64_t end, Source source) {
    const bool whole = segment.row_size == 0 || shared_;
    const int64_t step = whole ? end - begin : segment.row_size;
    for (int64_t at = begin; source == of && at < end; at += step) {
      const auto size = static_cast<size_t>(step);
      sum += source == Source::sums
                 ? train::sum_of_squares(gradients.subspan(static_cast<size_t>(at), size))
                 : train::sum_of_squares(std::span(halves + (at - segment.begin), size));
    }
  });
  return sum;
}

const uint16_t* Optimizer::find(Float16Gradients gradients, const Segment& segment) {
  const uint16_t* part = gradients.empty() ? nullptr : gradients[segment.part];
  return part == nullptr ? nullptr : part + segment.within;
}

void Optimizer::add_to_shared_rows(const Segment& segment, std::span<float> gradients,
                                   const uint16_t* halves) const {
  if (segment.row_size == 0 || !shared_ || halves == nullptr) return;
  for_each_run(seen_, segment, true, [&](int64_t begin, int64_t end, Source source) {
    if (source != Source::sums) return;
    for (int64_t at = begin; at < end; ++at)
      gradients[static_cast<size_t>(at)] += half_to_float(halves[at - segment.begin]);
  });
}

void Optimizer::sum_squares(ThreadPool& pool, size_t part, Float16Gradients gradients) {
  const auto [first, last] =
      std::equal_range(segments_.begin(), segments_.end(), Segment{.part = part},
                       [](const Segment& a, const Segment& b) { return a.part < b.part; });
  const auto begin = static_cast<size_t>(first - segments_.begin());
  for_each_task(pool, last - first, pool.threads(), [&](int64_t task, int64_t /*lane*/) {
    const size_t index = begin + static_cast<size_t>(task);
    const Segment& segment = segments_[index];
    segment_sums_[index] = sum_of_squares(segment, Source::halves, {}, find(gradients, segment));
    summed_[index] = 1;
  });
}

void Optimizer::forget_squares() { std::fill(summed_.begin(), summed_.end(), uint8_t{0}); }

double Optimizer::gradient_norm(ThreadPool& pool, std::span<float> gradients,
                                Float16Gradients float16_gradients) {
  for_each_task(pool, std::ssize(segments_), pool.threads(), [&](int64_t task, int64_t /*lane*/) {
    const auto index = static_cast<size_t>(task);
    const Segment& segment = segments_[index];
    const uint16_t* halves = find(float16_gradients, segment);
    if (halves == nullptr || summed_[index] == 0)
      segment_sums_[index] = sum_of_squares(segment, Source::halves, gradients, halves);
    add_to_shared_rows(segment, gradients, halves);
    segment_sums_[index] += sum_of_squares(segment, Source::sums, gradients, halves);
  });
  forget_squares();
  return std::sqrt(std::accumulate(segment_sums_.begin(), segment_sums_.end(), 0.0));
}

void Optimizer::begin_update(const Update& update, const UpdateArrays& arrays) {
  const auto keep = [&](double decay) {
    return static_cast<float>(1 - update.learning_rate * decay);
  };
  state_.updates += 1;
  const auto gradient = static_cast<float>(update.gradient_factor);
  begun_ = {.arrays = arrays,
            .decayed = keep(options_.weight_decay),
            .kept = keep(0),
            .noise = rounding_noise(options_.seed, state_.updates),
            .adamw = {},
            .sgd = {.gradient = gradient,
                    .momentum = static_cast<float>(options_.momentum),
                    .learning_rate = static_cast<float>(update.learning_rate)}};
  if (options_.optimizer == OptimizerKind::adamw) {
    const auto t = static_cast<double>(state_.updates);
    const double correction1 = 1 - std::pow(options_.beta1, t);
    const double correction2 = 1 - std::pow(options_.beta2, t);
    begun_.adamw = {.gradient = gradient,
                    .beta1 = static_cast<float>(options_.beta1),
                    .beta2 = static_cast<float>(options_.beta2),
                    .epsilon = static_cast<float>(options_.epsilon),
                    .step_size = static_cast<float>(update.learning_rate / correction1),
                    .root_correction = static_cast<float>(1 / std::sqrt(correction2))};
  }
  updated_rows_ = seen_; // of equal size: allocates nothing
  forget_shared_rows();
}

void Optimizer::update_range(const UpdateRange& range, float keep) const {
  if (options_.optimizer == OptimizerKind::sgd)
    update_sgd(range, begun_.sgd, keep);
  else
    update_adamw(range, begun_.adamw, keep);
}

void Optimizer::update_segment(const Segment& segment, UpdateSweep sweep) {
  const UpdateArrays& arrays = begun_.arrays;
  const uint16_t* halves = find(arrays.float16_gradients, segment);
  const auto state = [&](size_t index, int64_t at) {
    if (index >= state_.arrays.size()) return StateRange();
    return StateRange{this->state(index).floats(at), this->state(index).bfloat16(at)};
  };
  for_each_run(
      updated_rows_, segment, halves != nullptr, [&](int64_t begin, int64_t end, Source source) {
        const int64_t within = begin - segment.begin;
        const int64_t weights = segment.weights + within;
        const bool mirrored = !arrays.bfloat16_weights.empty();
        const bool narrow = source == Source::halves;
        const UpdateRange range{.count = end - begin,
                                .weights = arrays.weights.data() + weights,
                                .gradients = narrow ? nullptr : arrays.gradients.data() + begin,
                                .float16_gradients = narrow ? halves + within : nullptr,
                                .first = state(0, begin),
                                .second = state(1, begin),
                                .bfloat16_weights =
                                    mirrored ? arrays.bfloat16_weights.data() + weights : nullptr,
                                .sweep = sweep,
                                .noise = begun_.noise + static_cast<uint32_t>(begin)};
        const float factor = segment.decay ? begun_.decayed : begun_.kept;
        if (source != Source::none)
          update_range(range, factor);
        else if (factor != 1 && sweep != UpdateSweep::state)
          scale_weights(range, factor);
      });
}

void Optimizer::update_part(size_t part, int64_t begin, int64_t end, UpdateSweep sweep) {
  update_segment(segment_of(parts_[part], begin, end), sweep);
}

void Optimizer::update(ThreadPool& pool, const Update& update, const UpdateArrays& arrays) {
  begin_update(update, arrays);
  for_each_task(pool, std::ssize(segments_), pool.threads(), [&](int64_t task, int64_t /*lane*/) {
    update_segment(segments_[static_cast<size_t>(task)], UpdateSweep::whole);
  });
}

} // namespace anet::train
