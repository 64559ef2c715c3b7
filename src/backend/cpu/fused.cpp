#include "backend/cpu/fused.h"

#include "backend/cpu/convert.h"

#include <algorithm>
#include <cstdlib>

namespace anet::backend::cpu {

namespace {

constexpr int64_t flat_block = 512;              // elements: registers stay in the L1 cache
constexpr int64_t min_columns = 128;             // of a tile with all rows
constexpr int64_t tile_bytes = int64_t{1} << 18; // of its operands: they stay in the L2 cache
constexpr int64_t row_block = max_fold_values;   // elements of a row

using Nest = LoopNest<max_fused_operands>;
using Offsets = std::array<int64_t, max_fused_operands>;

// How a space is walked. Pieces of `flat` are runs of elements. With a reduced axis, tasks are
// blocks of neighbouring `columns` with all their rows, or single `rows`.
enum class Walk : uint8_t { flat, columns, rows };

int64_t block_of(Walk walk) {
  switch (walk) {
  case Walk::flat:
    return flat_block;
  case Walk::columns:
    return max_fold_columns;
  case Walk::rows:
    return row_block;
  }
  return row_block;
}

Nest make_nest(const FusedProgram& program) {
  Shape shape;
  std::array<Strides, max_fused_operands> strides;
  for (size_t d = 0; d < program.space.size(); ++d) {
    if (d == program.reduced_axis) continue;
    shape.push_back(program.space[d]);
    for (size_t i = 0; i < max_fused_operands; ++i) {
      // Missing operands follow the first, so that they never keep dimensions from merging.
      const Operand& x = program.operands[i < program.operands.size() ? i : 0];
      strides[i].push_back(x.strides[d]);
    }
  }
  std::array<const Strides*, max_fused_operands> pointers{};
  for (size_t i = 0; i < max_fused_operands; ++i) pointers[i] = &strides[i];
  return make_loop_nest<max_fused_operands>(shape, pointers);
}

// As a reduction on its own would walk its input.
Walk walk_of(const FusedProgram& program, const Nest& nest) {
  if (!program.reduced_axis) return Walk::flat;
  const int64_t reduced_stride = program.operands.front().strides[*program.reduced_axis];
  const bool columns = nest.inner_strides()[0] == 1 && nest.inner() > 1 && reduced_stride != 1;
  return columns ? Walk::columns : Walk::rows;
}

class FusedStep final : public Step {
public:
  FusedStep(FusedProgram program, const Operand& scratch)
      : program_(std::move(program)), scratch_(scratch), nest_(make_nest(program_)),
        walk_(walk_of(program_, nest_)), block_(block_of(walk_)) {
    const auto axis = program_.reduced_axis;
    rows_ = axis ? program_.space[*axis] : 1;
    for (size_t i = 0; i < program_.operands.size(); ++i) {
      const Operand& x = program_.operands[i];
      sizes_[i] = element_size(x.dtype);
      row_strides_[i] = axis ? x.strides[*axis] : 0;
      inner_[i] = walk_ == Walk::rows ? row_strides_[i] : nest_.inner_strides()[i];
    }
    std::array<bool, max_fused_values> scalars{};
    for (size_t p = 0; p < program_.phases.size(); ++p)
      phases_.push_back(plan(program_.phases[p], walk_ == Walk::rows && p % 2 != 0, scalars));
  }

  void run(const RunContext& context) const override {
    Bases bases{};
    for (size_t i = 0; i < program_.operands.size(); ++i)
      bases[i] = address<std::byte>(context, program_.operands[i]);
    const auto elements = static_cast<double>(nest_.elements()) * static_cast<double>(rows_);
    if (walk_ == Walk::columns) {
      const int64_t width = column_block(context.pool->threads());
      const int64_t blocks = (nest_.inner() + width - 1) / width;
      const int64_t tasks = nest_.elements() / nest_.inner() * blocks;
      return share(context, tasks, elements, [&](int64_t task, int64_t end, float* scratch) {
        for (; task < end; ++task) {
          const int64_t first = task / blocks * nest_.inner() + task % blocks * width;
          const int64_t n = std::min(width, nest_.inner() - task % blocks * width);
          for_each_row(nest_, first, first + n, [&](const Offsets& offsets, int64_t length) {
            run_tile(bases, offsets, length, scratch);
          });
        }
      });
    }
    share(context, nest_.elements(), elements, [&](int64_t begin, int64_t end, float* scratch) {
      for_each_row(nest_, begin, end, [&](const Offsets& offsets, int64_t length) {
        if (walk_ == Walk::flat) return run_flat(bases, offsets, length, scratch);
        for (int64_t i = 0; i < length; ++i)
          run_row(bases, moved(offsets, nest_.inner_strides(), i), scratch);
      });
    });
  }

private:
  using Bases = std::array<std::byte*, max_fused_operands>;
  // Where each register is now.
  using Values = std::array<const float*, max_fused_values>;

  struct Load {
    size_t operand;
    size_t value;
    LoadFloat convert; // null: used where it lies
    bool once;         // one number for the whole block
  };
  struct Call {
    FusedProgram::Call call;
    unsigned scalars = 0;
    bool once = false;
    std::optional<size_t> operand; // where the result is stored as it is made
  };
  struct Store {
    size_t value;
    size_t operand;
    StoreFloat convert;
  };
  struct Fold {
    FusedProgram::Fold fold;
    Accumulation accumulation;
    ReduceKernels kernels;
  };
  struct Phase {
    std::vector<Load> loads;
    std::vector<Call> calls;
    std::vector<Store> stores;
    std::vector<Fold> folds;
  };

  // `single`: blocks have one element. `scalars` says which registers hold one number for a whole
  // block; what is stored or folded does not.
  Phase plan(const FusedProgram::Phase& phase, bool single,
             std::array<bool, max_fused_values>& scalars) const {
    std::array<bool, max_fused_values> wide{};
    for (const FusedProgram::Store& store : phase.stores)
      wide[static_cast<size_t>(store.value)] = true;
    for (const FusedProgram::Fold& fold : phase.folds) wide[static_cast<size_t>(fold.input)] = true;
    Phase result;
    for (const auto& [operand, value] : phase.loads) {
      const auto v = static_cast<size_t>(value);
      const DataType dtype = program_.operands[operand].dtype;
      scalars[v] = single || (inner_[operand] == 0 && !wide[v]);
      const bool direct = dtype == DataType::fp32 && (scalars[v] || inner_[operand] == 1);
      result.loads.push_back({operand, v, direct ? nullptr : load_float(dtype), scalars[v]});
    }
    for (const FusedProgram::Call& call : phase.calls) {
      Call planned{call, 0, single, std::nullopt};
      for (size_t i = 0; i < call.count; ++i)
        if (scalars[static_cast<size_t>(call.inputs[i])]) planned.scalars |= 1u << i;
      const auto v = static_cast<size_t>(call.value);
      planned.once = single || (planned.scalars == (1u << call.count) - 1 && !wide[v]);
      scalars[v] = planned.once;
      result.calls.push_back(planned);
    }
    for (const auto& [value, operand] : phase.stores) {
      if (store_directly(result, value, operand)) continue;
      const DataType dtype = program_.operands[operand].dtype;
      result.stores.push_back({static_cast<size_t>(value), operand, store_float(dtype)});
    }
    for (const FusedProgram::Fold& fold : phase.folds) {
      scalars[static_cast<size_t>(fold.value)] = walk_ == Walk::rows;
      const Accumulation accumulation = accumulation_of(fold.reduction);
      result.folds.push_back({fold, accumulation, reduce_kernels(accumulation)});
    }
    return result;
  }

  // By the last call that makes the value: the register may have held another before. Not when a
  // call behind it still reads what lies there.
  bool store_directly(Phase& phase, int32_t value, size_t operand) const {
    const Operand& place = program_.operands[operand];
    if (place.dtype != DataType::fp32 || inner_[operand] != 1) return false;
    for (auto call = phase.calls.rbegin(); call != phase.calls.rend(); ++call) {
      if (call->call.value == value) {
        if (call->operand) return false;
        call->operand = operand;
        return true;
      }
      for (size_t i = 0; i < call->call.count; ++i)
        if (reads_from(phase, call->call.inputs[i], place.storage)) return false;
    }
    return false;
  }

  bool reads_from(const Phase& phase, int32_t value, int32_t storage) const {
    return std::any_of(phase.loads.begin(), phase.loads.end(), [&](const Load& load) {
      return load.value == static_cast<size_t>(value) &&
             program_.operands[load.operand].storage == storage;
    });
  }

  // Splits tasks among the threads, each with scratch of its own.
  template <typename Function>
  void share(const RunContext& context, int64_t tasks, double elements, Function&& work) const {
    auto* scratch = address<float>(context, scratch_);
    const auto enough = static_cast<int64_t>(elements / static_cast<double>(parallel_grain)) + 1;
    const int64_t shares = std::min({int64_t{context.pool->threads()}, tasks, enough});
    context.pool->parallel_for(shares, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        work(tasks * i / shares, tasks * (i + 1) / shares, scratch + i * scratch_.strides[0]);
    });
  }

  // Columns of a tile: few enough to stay in the L2 cache and to give each thread some.
  int64_t column_block(int64_t threads) const {
    const auto operands = static_cast<int64_t>(program_.operands.size());
    const int64_t cached = tile_bytes / (rows_ * operands * int64_t{sizeof(float)});
    const int64_t shared = nest_.elements() / threads;
    return std::clamp(std::min(cached, shared) / min_columns * min_columns, min_columns,
                      max_fold_columns);
  }

  static Offsets moved(const Offsets& offsets, const Offsets& strides, int64_t steps) {
    Offsets result;
    for (size_t i = 0; i < max_fused_operands; ++i) result[i] = offsets[i] + steps * strides[i];
    return result;
  }

  void run_flat(const Bases& bases, const Offsets& offsets, int64_t length, float* scratch) const {
    Values values{};
    for (int64_t done = 0; done < length; done += block_)
      evaluate(phases_.front(), bases, offsets, done, std::min(block_, length - done), values,
               scratch);
  }

  // All rows of n columns.
  void run_tile(const Bases& bases, const Offsets& first, int64_t n, float* scratch) const {
    const float shift[max_fold_columns] = {};
    Values values{};
    for (size_t p = 0; p < phases_.size(); ++p) {
      const Phase& phase = phases_[p];
      if (p % 2 != 0) {
        evaluate(phase, bases, first, 0, n, values, scratch);
        continue;
      }
      std::array<std::optional<ColumnFold>, max_fused_folds> folds;
      for (size_t f = 0; f < phase.folds.size(); ++f)
        folds[f].emplace(phase.folds[f].accumulation, phase.folds[f].kernels.column, n);
      for (int64_t row = 0; row < rows_; ++row) {
        evaluate(phase, bases, moved(first, row_strides_, row), 0, n, values, scratch);
        for (size_t f = 0; f < phase.folds.size(); ++f)
          folds[f]->add(values[static_cast<size_t>(phase.folds[f].fold.input)], shift);
      }
      for (size_t f = 0; f < phase.folds.size(); ++f)
        finish(phase.folds[f], folds[f]->totals(), n, values, scratch);
    }
  }

  void run_row(const Bases& bases, const Offsets& offsets, float* scratch) const {
    Values values{};
    for (size_t p = 0; p < phases_.size(); ++p) {
      const Phase& phase = phases_[p];
      if (p % 2 != 0) {
        evaluate(phase, bases, offsets, 0, 1, values, scratch);
        continue;
      }
      std::array<double, max_fused_folds> totals{};
      for (size_t f = 0; f < phase.folds.size(); ++f)
        totals[f] = fold_identity(phase.folds[f].accumulation);
      for (int64_t done = 0; done < rows_; done += block_) {
        const int64_t n = std::min(block_, rows_ - done);
        evaluate(phase, bases, offsets, done, n, values, scratch);
        for (size_t f = 0; f < phase.folds.size(); ++f) {
          const Fold& planned = phase.folds[f];
          const float* x = values[static_cast<size_t>(planned.fold.input)];
          totals[f] = fold(planned.accumulation, totals[f], planned.kernels.row(x, n, 0));
        }
      }
      for (size_t f = 0; f < phase.folds.size(); ++f)
        finish(phase.folds[f], &totals[f], 1, values, scratch);
    }
  }

  void finish(const Fold& planned, const double* totals, int64_t n, Values& values,
              float* scratch) const {
    const auto v = static_cast<size_t>(planned.fold.value);
    float* result = scratch + planned.fold.value * block_;
    for (int64_t i = 0; i < n; ++i)
      result[i] = static_cast<float>(finish_fold(planned.fold.reduction, totals[i], 0, rows_));
    values[v] = result;
  }

  // One block of a phase: n elements from `done` on along the innermost loop.
  void evaluate(const Phase& phase, const Bases& bases, const Offsets& offsets, int64_t done,
                int64_t n, Values& values, float* scratch) const {
    const auto place = [&](size_t i) {
      return bases[i] + (offsets[i] + done * inner_[i]) * sizes_[i];
    };
    const auto slot = [&](size_t value) { return scratch + static_cast<int64_t>(value) * block_; };
    for (const Load& load : phase.loads) {
      const std::byte* source = place(load.operand);
      if (load.convert == nullptr) {
        values[load.value] = reinterpret_cast<const float*>(source);
        continue;
      }
      float* const loaded = slot(load.value);
      const int64_t stride = inner_[load.operand], count = load.once ? 1 : n;
      load.convert(source, stride, loaded, stride == 0 ? 1 : count);
      if (stride == 0) std::fill(loaded + 1, loaded + count, *loaded);
      values[load.value] = loaded;
    }
    for (const Call& planned : phase.calls) {
      const auto v = static_cast<size_t>(planned.call.value);
      const float* inputs[max_pointwise_inputs] = {};
      for (size_t i = 0; i < planned.call.count; ++i)
        inputs[i] = values[static_cast<size_t>(planned.call.inputs[i])];
      float* output = planned.operand ? reinterpret_cast<float*>(place(*planned.operand)) : slot(v);
      planned.call.kernel(inputs, planned.scalars, output, planned.once ? 1 : n,
                          planned.call.parameters);
      values[v] = output;
    }
    for (const Store& store : phase.stores)
      store.convert(values[store.value], place(store.operand), inner_[store.operand], n);
  }

  FusedProgram program_;
  Operand scratch_;
  Nest nest_;
  Walk walk_;
  int64_t block_;
  int64_t rows_ = 1; // elements along the reduced axis
  std::vector<Phase> phases_;
  std::array<int64_t, max_fused_operands> sizes_{};
  Offsets row_strides_{}; // along the reduced axis
  Offsets inner_{};       // along a block
};

} // namespace

int64_t fused_scratch(const FusedProgram& program) {
  return program.values * block_of(walk_of(program, make_nest(program)));
}

std::unique_ptr<Step> make_fused_step(FusedProgram program, const Operand& scratch) {
  return std::make_unique<FusedStep>(std::move(program), scratch);
}

} // namespace anet::backend::cpu
