#include "backend/ane/lower_peaks.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <string_view>
#include <vector>

namespace anet::backend::ane {

namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const mil::Operation* producer_of(const mil::Function& function, ValueId value) {
  const int32_t op = function.value(value).producer;
  return op < 0 ? nullptr : &function.ops[static_cast<size_t>(op)];
}

// What a result has all elements of.
ValueId unmoved(const mil::Function& function, ValueId value) {
  const mil::Operation* op = producer_of(function, value);
  while (op != nullptr && is_one_of(op->name(), {"reshape", "transpose"})) {
    value = op->input("x");
    op = producer_of(function, value);
  }
  return value;
}

// The part of a value that a slice reads.
struct Box {
  std::vector<int64_t> begin;
  std::vector<int64_t> size;

  int64_t elements() const {
    int64_t product = 1;
    for (const int64_t extent : size) product *= extent;
    return product;
  }

  bool meets(const Box& other) const {
    for (size_t axis = 0; axis < begin.size(); ++axis) {
      if (begin[axis] + size[axis] <= other.begin[axis]) return false;
      if (other.begin[axis] + other.size[axis] <= begin[axis]) return false;
    }
    return true;
  }
};

// Where an infinity in one value of a function comes out again.
class Outlet {
public:
  Outlet(const mil::Function& function, ValueId from)
      : function_(function), from_(from), flows_(function.values.size(), Flow::none) {
    flow(from) = Flow::linear;
    for (const mil::Operation& op : function.ops)
      for (ValueId result : op.outputs)
        if (result != from) flow(result) = flow_through(op);
  }

  // Whether each element has a way into one of `results` on which it is only moved, multiplied and
  // added up. What is multiplied with 0 there is 0 whatever its size; an infinity vanishes
  // wrongly only where it meets its opposite.
  bool leads_to(const std::set<ValueId>& results) const {
    std::set<ValueId> leading = results;
    std::map<ValueId, std::vector<Box>> read; // by slices that lead there
    for (auto op = function_.ops.rbegin(); op != function_.ops.rend(); ++op) {
      const ValueId result = op->outputs.front();
      if (!is_linear(result) || !leading.contains(result)) continue;
      for (const mil::Argument& argument : op->arguments)
        for (ValueId operand : argument.values)
          if (is_linear(operand) && (op->name() != slice || reads_rest(*op, read[operand])))
            leading.insert(operand);
    }
    return leading.contains(from_);
  }

private:
  enum class Flow : uint8_t { none, linear, other };
  static constexpr std::string_view slice = "slice_by_size";

  Flow& flow(ValueId value) { return flows_[static_cast<size_t>(value)]; }
  bool is_linear(ValueId value) const { return flows_[static_cast<size_t>(value)] == Flow::linear; }

  Flow flow_through(const mil::Operation& op) {
    int linear = 0, other = 0;
    for (const mil::Argument& argument : op.arguments) {
      for (ValueId operand : argument.values) {
        linear += is_linear(operand);
        other += flow(operand) == Flow::other;
      }
    }
    if (linear + other == 0) return Flow::none;
    const std::string_view name = op.name();
    const bool is_product = is_one_of(name, {"mul", "matmul", "conv"}) ||
                            (name == "real_div" && flow(op.input("y")) == Flow::none);
    const bool is_sum = is_one_of(
        name, {"add", "sub", "reduce_sum", "reduce_mean", "concat", "reshape", "transpose", slice});
    return other == 0 && (is_sum || (is_product && linear == 1)) ? Flow::linear : Flow::other;
  }

  // Whether the slices of a value that were read so far and this one cover it.
  bool reads_rest(const mil::Operation& op, std::vector<Box>& read) const {
    const Box box{function_.constant(op, "begin")->integers(),
                  function_.constant(op, "size")->integers()};
    int64_t elements = 0;
    for (const Box& before : read) {
      if (before.meets(box)) return false;
      elements += before.elements();
    }
    read.push_back(box);
    return elements + box.elements() == function_.type(op.input("x")).elements();
  }

  const mil::Function& function_;
  ValueId from_;
  std::vector<Flow> flows_; // by value
};

class Peaks {
public:
  Peaks(Lowering& l, std::span<const ValueId> results, const LowerOptions& options) : l_(l) {
    std::set<ValueId> read; // by those who look for infinities themselves
    for (size_t i = 0; i < results.size(); ++i) {
      if (options.unwatched.contains(l_.source.value(l_.source.outputs[i]).name))
        read.insert(unmoved(l_.b.function(), results[i]));
      else if (l_.b.type(results[i]).dtype == DataType::fp16)
        results_.insert(results[i]);
    }
    for (ValueId value : l_.watched())
      if (!read.contains(value) && (options.peaks == PeaksOf::all || !comes_out(value)))
        shown_.insert(value);
    for (ValueId result : results_)
      if (!shows(result)) shown_.insert(result);
  }

  ValueId write() {
    std::vector<ValueId> extremes;
    for (ValueId id : shown_) {
      // Over channels, height and width; a batch is more channels.
      const Shape shape = l_.b.shape(id);
      if (shape[0] > 1) id = l_.b.reshape(id, {1, shape[0] * shape[1], shape[2], shape[3]});
      // So that no magnitudes are written.
      for (const char* reduction : {"reduce_max", "reduce_min"})
        extremes.push_back(l_.b.reduce(reduction, id, {1, 2, 3}, true));
    }
    return extremes.empty() ? mil::no_value : largest_magnitude(extremes);
  }

private:
  bool comes_out(ValueId value) const { return Outlet(l_.b.function(), value).leads_to(results_); }

  // Ops that only move elements show what their operand shows; some have small results by nature.
  bool shows(ValueId value) const {
    while (!shown_.contains(value)) {
      const mil::Operation* op = producer_of(l_.b.function(), value);
      if (op == nullptr) return false;
      if (is_one_of(op->name(), {"softmax", "sigmoid", "tanh"})) return true;
      if (is_one_of(op->name(), {"concat"})) {
        const std::vector<ValueId>& parts = op->argument("values")->values;
        return std::all_of(parts.begin(), parts.end(), [&](ValueId part) { return shows(part); });
      }
      if (!is_one_of(op->name(), {"reshape", "transpose", "slice_by_size"})) return false;
      value = op->input("x");
    }
    return true;
  }

  // Of single numbers.
  ValueId largest_magnitude(const std::vector<ValueId>& values) {
    if (l_.rules.has_concat) {
      const ValueId magnitudes = l_.b.unary("abs", l_.b.concat(values, channel_slot));
      return l_.b.reduce("reduce_max", magnitudes, {channel_slot}, true);
    }
    ValueId largest = l_.b.unary("abs", values.front());
    for (const ValueId value : std::span(values).subspan(1))
      largest = l_.b.binary("maximum", largest, l_.b.unary("abs", value));
    return largest;
  }

  Lowering& l_;
  std::set<ValueId> results_; // that count
  std::set<ValueId> shown_;
};

} // namespace

ValueId write_peaks(Lowering& l, std::span<const ValueId> results, const LowerOptions& options) {
  return options.peaks == PeaksOf::nothing ? mil::no_value : Peaks(l, results, options).write();
}

} // namespace anet::backend::ane
