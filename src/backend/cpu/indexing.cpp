#include "backend/cpu/indexing.h"

#include "backend/cpu/convert.h"
#include "base/status.h"

#include <cstring>
#include <utility>

namespace anet::backend::cpu {

namespace {

// Reads one index after the other; the tensor has any integer type.
class IndexReader {
public:
  IndexReader(const char* op, const Operand& indices, int64_t extent)
      : op_(op), load_(load_double(indices.dtype)), size_(element_size(indices.dtype)),
        extent_(extent) {}

  // The index at `offset` elements, counted from the front of its axis.
  int64_t operator()(const std::byte* base, int64_t offset) const {
    double value;
    load_(base + offset * size_, 1, &value, 1);
    const auto given = static_cast<int64_t>(value);
    const int64_t index = given < 0 ? given + extent_ : given;
    if (index < 0 || index >= extent_) {
      fail(Status::out_of_range, op_, " index ", given, " is outside an axis of extent ", extent_);
    }
    return index;
  }

private:
  const char* op_;
  LoadDouble load_;
  int64_t size_;
  int64_t extent_;
};

template <typename T>
class GatherStep final : public Step {
public:
  // Dimensions: b, p, i, q.
  GatherStep(const Operand& x, const Operand& indices, const Operand& output)
      : x_(x), indices_(indices), output_(output), read_("gather", indices, x.shape[2]) {}

  void run(const RunContext& context) const override {
    const T* x = address<T>(context, x_);
    const auto* indices = address<std::byte>(context, indices_);
    T* output = address<T>(context, output_);
    const int64_t before = output_.shape[1], count = output_.shape[2], inner = output_.shape[3];
    const int64_t rows = output_.shape[0] * before * count;
    const int64_t grain = std::max<int64_t>(1, parallel_grain / inner);
    context.pool->parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t i = row % count, p = row / count % before, b = row / count / before;
        const int64_t from = read_(indices, b * indices_.strides[0] + i * indices_.strides[1]);
        copy(x + b * x_.strides[0] + p * x_.strides[1] + from * x_.strides[2],
             output + b * output_.strides[0] + p * output_.strides[1] + i * output_.strides[2]);
      }
    });
  }

private:
  void copy(const T* source, T* target) const {
    const int64_t n = output_.shape[3], from = x_.strides[3], to = output_.strides[3];
    if (from == 1 && to == 1) {
      std::memcpy(target, source, static_cast<size_t>(n) * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) target[i * to] = source[i * from];
    }
  }

  Operand x_, indices_, output_;
  IndexReader read_;
};

class CompressedGatherStep final : public Step {
public:
  CompressedGatherStep(const CompressedMatrix& matrix, const Operand& indices,
                       const Operand& output, const Operand& scratch)
      : matrix_(matrix), indices_(indices), output_(output), scratch_(scratch),
        read_("gather", indices, matrix.rows()), store_(store_float(output.dtype)) {}

  void run(const RunContext& context) const override {
    const auto* indices = address<std::byte>(context, indices_);
    auto* output = address<std::byte>(context, output_);
    auto* scratch = address<float>(context, scratch_);
    const int64_t count = output_.shape[2], width = output_.shape[3];
    const int64_t ranges =
        count * width < parallel_grain ? 1 : std::min<int64_t>(count, context.pool->threads());
    const int64_t size = element_size(output_.dtype);
    context.pool->run(ranges, [&](int64_t range, int64_t) {
      float* const row = scratch + range * width;
      for (int64_t i = range * count / ranges; i < (range + 1) * count / ranges; ++i) {
        const int64_t from = read_(indices, i * indices_.strides[1]);
        matrix_.expand({from, 1, 0, width}, row, width);
        store_(row, output + i * output_.strides[2] * size, output_.strides[3], width);
      }
    });
  }

private:
  CompressedMatrix matrix_;
  Operand indices_, output_, scratch_;
  IndexReader read_;
  StoreFloat store_;
};

// x's strides without the indexed axis.
Strides without_axis(const Operand& x, size_t axis) {
  Strides strides = x.strides;
  strides[axis] = 0;
  return strides;
}

template <typename T>
class GatherAlongAxisStep final : public Step {
public:
  GatherAlongAxisStep(const Operand& x, const Operand& indices, const Operand& output, size_t axis)
      : x_(x), indices_(indices), output_(output),
        read_("gather_along_axis", indices, x.shape[axis]), step_(x.strides[axis]) {
    const Strides others = without_axis(x, axis);
    nest_ = make_loop_nest<3>(output.shape, {&output.strides, &indices.strides, &others});
  }

  void run(const RunContext& context) const override {
    const T* x = address<T>(context, x_);
    const auto* indices = address<std::byte>(context, indices_);
    T* output = address<T>(context, output_);
    context.pool->parallel_for(nest_.elements(), parallel_grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [to, index, from] = nest_.inner_strides();
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = read_(indices, offsets[1] + i * index);
          output[offsets[0] + i * to] = x[offsets[2] + i * from + at * step_];
        }
      });
    });
  }

private:
  Operand x_, indices_, output_;
  IndexReader read_;
  int64_t step_;
  LoopNest<3> nest_;
};

// How one element of each type is combined with an update.
class Combiner {
public:
  Combiner(DataType dtype, ScatterMode mode)
      : mode_(mode), load_(load_double(dtype)), store_(store_double(dtype)),
        size_(element_size(dtype)), plain_(dtype == DataType::fp32 && mode == ScatterMode::add) {}

  // data[i * to] (mode)= updates[i * from] for n elements.
  void operator()(std::byte* data, int64_t to, const std::byte* updates, int64_t from,
                  int64_t n) const {
    if (plain_) {
      auto* sums = reinterpret_cast<float*>(data);
      const auto* values = reinterpret_cast<const float*>(updates);
      if (to == 1 && from == 1) {
        for (int64_t i = 0; i < n; ++i) sums[i] += values[i];
      } else {
        for (int64_t i = 0; i < n; ++i) sums[i * to] += values[i * from];
      }
      return;
    }
    constexpr int64_t block = 128;
    double old[block], given[block];
    for (int64_t done = 0; done < n; done += block) {
      const int64_t count = std::min(block, n - done);
      std::byte* target = data + done * to * size_;
      load_(target, to, old, count);
      load_(updates + done * from * size_, from, given, count);
      for (int64_t i = 0; i < count; ++i) old[i] = combine(old[i], given[i]);
      store_(old, target, to, count);
    }
  }

private:
  double combine(double old, double update) const {
    switch (mode_) {
    case ScatterMode::add:
      return old + update;
    case ScatterMode::sub:
      return old - update;
    case ScatterMode::mul:
      return old * update;
    case ScatterMode::div:
      return old / update;
    case ScatterMode::max:
      return old < update ? update : old;
    case ScatterMode::min:
      return update < old ? update : old;
    case ScatterMode::update:
      return update;
    }
    return update;
  }

  ScatterMode mode_;
  LoadDouble load_;
  StoreDouble store_;
  int64_t size_;
  bool plain_;
};

class ScatterStep final : public Step {
public:
  // data: p, d, q; indices: i; updates: p, i, q.
  ScatterStep(const Operand& data, const Operand& indices, const Operand& updates, ScatterMode mode)
      : data_(data), indices_(indices), updates_(updates), read_("scatter", indices, data.shape[1]),
        combine_(data.dtype, mode) {}

  // Tasks own slices of p and q, never of i: rows that repeat are added by one thread, in order.
  void run(const RunContext& context) const override {
    auto* data = address<std::byte>(context, data_);
    const auto* indices = address<std::byte>(context, indices_);
    const auto* updates = address<std::byte>(context, updates_);
    const int64_t size = element_size(data_.dtype);
    const int64_t count = updates_.shape[1], inner = updates_.shape[2];
    const int64_t lines = updates_.shape[0] * inner;
    const int64_t grain = std::max<int64_t>(16, parallel_grain / count);
    context.pool->parallel_for(lines, grain, [&](int64_t begin, int64_t end) {
      for (int64_t line = begin; line < end;) {
        const int64_t p = line / inner, q = line % inner;
        const int64_t n = std::min(inner - q, end - line);
        for (int64_t i = 0; i < count; ++i) {
          const int64_t row = read_(indices, i * indices_.strides[0]);
          const int64_t target =
              p * data_.strides[0] + row * data_.strides[1] + q * data_.strides[2];
          const int64_t source =
              p * updates_.strides[0] + i * updates_.strides[1] + q * updates_.strides[2];
          combine_(data + target * size, data_.strides[2], updates + source * size,
                   updates_.strides[2], n);
        }
        line += n;
      }
    });
  }

private:
  Operand data_, indices_, updates_;
  IndexReader read_;
  Combiner combine_;
};

class ScatterAlongAxisStep final : public Step {
public:
  ScatterAlongAxisStep(const Operand& data, const Operand& indices, const Operand& updates,
                       size_t axis, ScatterMode mode)
      : data_(data), indices_(indices), updates_(updates),
        read_("scatter_along_axis", indices, data.shape[axis]), combine_(data.dtype, mode),
        count_(updates.shape[axis]), data_step_(data.strides[axis]),
        index_step_(indices.strides[axis]), update_step_(updates.strides[axis]) {
    Shape others = updates.shape;
    others[axis] = 1;
    nest_ = make_loop_nest<3>(others, {&data.strides, &indices.strides, &updates.strides});
  }

  // Tasks own lines along the axis, so that repeated indices are combined in order.
  void run(const RunContext& context) const override {
    auto* data = address<std::byte>(context, data_);
    const auto* indices = address<std::byte>(context, indices_);
    const auto* updates = address<std::byte>(context, updates_);
    const int64_t size = element_size(data_.dtype);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / count_);
    context.pool->parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [to, index, from] = nest_.inner_strides();
        for (int64_t line = 0; line < n; ++line) {
          for (int64_t i = 0; i < count_; ++i) {
            const int64_t at = read_(indices, offsets[1] + line * index + i * index_step_);
            combine_(data + (offsets[0] + line * to + at * data_step_) * size, 1,
                     updates + (offsets[2] + line * from + i * update_step_) * size, 1, 1);
          }
        }
      });
    });
  }

private:
  Operand data_, indices_, updates_;
  IndexReader read_;
  Combiner combine_;
  int64_t count_, data_step_, index_step_, update_step_;
  LoopNest<3> nest_;
};

class OneHotStep final : public Step {
public:
  OneHotStep(const Operand& indices, const Operand& output, size_t axis, double on, double off)
      : indices_(indices), output_(output), load_(load_double(indices.dtype)),
        store_(store_double(output.dtype)), extent_(output.shape[axis]),
        step_(output.strides[axis]), on_(on), off_(off) {
    Strides others = output.strides;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(axis));
    nest_ = make_loop_nest<2>(indices.shape, {&others, &indices.strides});
  }

  void run(const RunContext& context) const override {
    const auto* indices = address<std::byte>(context, indices_);
    auto* output = address<std::byte>(context, output_);
    const int64_t index_size = element_size(indices_.dtype);
    const int64_t size = element_size(output_.dtype);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / extent_);
    context.pool->parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [to, from] = nest_.inner_strides();
        for (int64_t i = 0; i < n; ++i) {
          double given;
          load_(indices + (offsets[1] + i * from) * index_size, 1, &given, 1);
          write_line(output + (offsets[0] + i * to) * size, given);
        }
      });
    });
  }

private:
  // An index outside the vector leaves it all `off`.
  void write_line(std::byte* line, double index) const {
    const int64_t size = element_size(output_.dtype);
    for (int64_t i = 0; i < extent_; ++i) {
      store_(index == static_cast<double>(i) ? &on_ : &off_, line + i * step_ * size, 1, 1);
    }
  }

  Operand indices_, output_;
  LoadDouble load_;
  StoreDouble store_;
  int64_t extent_, step_;
  double on_, off_;
  LoopNest<2> nest_;
};

// Makes a step for the unsigned integer that has the element's size.
template <template <typename> typename StepOf, typename... Arguments>
std::unique_ptr<Step> make_for_size(DataType dtype, const Arguments&... arguments) {
  switch (element_size(dtype)) {
  case 1:
    return std::make_unique<StepOf<uint8_t>>(arguments...);
  case 2:
    return std::make_unique<StepOf<uint16_t>>(arguments...);
  case 4:
    return std::make_unique<StepOf<uint32_t>>(arguments...);
  default:
    return std::make_unique<StepOf<uint64_t>>(arguments...);
  }
}

} // namespace

std::optional<ScatterMode> scatter_mode_from_name(std::string_view name) {
  static constexpr std::pair<std::string_view, ScatterMode> names[] = {
      {"add", ScatterMode::add},       {"sub", ScatterMode::sub}, {"mul", ScatterMode::mul},
      {"div", ScatterMode::div},       {"max", ScatterMode::max}, {"min", ScatterMode::min},
      {"update", ScatterMode::update},
  };
  for (const auto& [text, mode] : names) {
    if (text == name) return mode;
  }
  return std::nullopt;
}

std::unique_ptr<Step> make_gather_step(const Operand& x, const Operand& indices,
                                       const Operand& output) {
  return make_for_size<GatherStep>(x.dtype, x, indices, output);
}

std::unique_ptr<Step> make_compressed_gather_step(const CompressedMatrix& matrix,
                                                  const Operand& indices, const Operand& output,
                                                  const Operand& scratch) {
  return std::make_unique<CompressedGatherStep>(matrix, indices, output, scratch);
}

std::unique_ptr<Step> make_gather_along_axis_step(const Operand& x, const Operand& indices,
                                                  const Operand& output, size_t axis) {
  return make_for_size<GatherAlongAxisStep>(x.dtype, x, indices, output, axis);
}

std::unique_ptr<Step> make_scatter_step(const Operand& data, const Operand& indices,
                                        const Operand& updates, ScatterMode mode) {
  return std::make_unique<ScatterStep>(data, indices, updates, mode);
}

std::unique_ptr<Step> make_scatter_along_axis_step(const Operand& data, const Operand& indices,
                                                   const Operand& updates, size_t axis,
                                                   ScatterMode mode) {
  return std::make_unique<ScatterAlongAxisStep>(data, indices, updates, axis, mode);
}

std::unique_ptr<Step> make_one_hot_step(const Operand& indices, const Operand& output, size_t axis,
                                        double on, double off) {
  return std::make_unique<OneHotStep>(indices, output, axis, on, off);
}

} // namespace anet::backend::cpu
