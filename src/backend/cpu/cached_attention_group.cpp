// Finds the attention of model::cached_block_function: scores of two parts of the keys, one softmax
// over both, the values of each part weighted and added.
#include "backend/cpu/cached_attention.h"
#include "backend/cpu/fusion.h"
#include "backend/cpu/lowering.h"

#include <algorithm>
#include <string_view>

namespace anet::backend::cpu {

namespace {

using mil::no_value;
using mil::ValueId;

struct Pattern {
  struct Part {
    ValueId key = no_value, value = no_value, mask = no_value;
    bool key_swapped = false, value_swapped = false; // positions before channels
  };
  ValueId query = no_value, output = no_value;
  std::array<Part, 2> parts;
};

class Matcher {
public:
  explicit Matcher(const mil::Function& function) : f_(function) {}

  // From the sum of the weighted values upwards.
  bool match(int32_t add) {
    ops_ = {add};
    pattern_ = {};
    pattern_.output = op(add).outputs.front();
    int32_t softmax = -1;
    for (size_t part = 0; part < 2; ++part) {
      const int32_t product = take(op(add).input(part == 0 ? "x" : "y"), "matmul");
      if (product < 0 || !flag(product, "transpose_y")) return false;
      pattern_.parts[part].value = op(product).input("x");
      pattern_.parts[part].value_swapped = flag(product, "transpose_x");
      const int32_t slice = take(op(product).input("y"), "slice_by_size");
      if (slice < 0) return false;
      slices_[part] = slice;
      const int32_t source = producer(op(slice).input("x"), "softmax");
      if (source < 0 || (part == 1 && source != softmax)) return false;
      softmax = source;
    }
    ops_.push_back(softmax);
    const int32_t concat = take(op(softmax).input("x"), "concat");
    if (concat < 0 || !is_last_axis(op(softmax)) || !is_last_axis(op(concat))) return false;
    const std::vector<ValueId>& scores = op(concat).argument("values")->values;
    if (scores.size() != 2) return false;
    int64_t begin = 0;
    for (size_t part = 0; part < 2; ++part) {
      if (!is_slice(slices_[part], scores[part], begin) || !match_scores(scores[part], part))
        return false;
      begin += shape(scores[part]).back();
    }
    return have_shapes();
  }

  const Pattern& pattern() const { return pattern_; }
  std::vector<int32_t> ops() const {
    std::vector<int32_t> sorted = ops_;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }

private:
  const mil::Operation& op(int32_t index) const { return f_.ops[static_cast<size_t>(index)]; }
  const Shape& shape(ValueId id) const { return f_.type(id).shape; }

  int32_t producer(ValueId id, std::string_view name) const {
    const int32_t index = f_.value(id).producer;
    return index >= 0 && std::string_view(op(index).name()) == name ? index : -1;
  }
  int32_t take(ValueId id, std::string_view name) {
    const int32_t index = producer(id, name);
    if (index >= 0) ops_.push_back(index);
    return index;
  }

  bool flag(int32_t matmul, std::string_view name) const {
    return literal_argument(f_, op(matmul), name).boolean();
  }
  bool is_last_axis(const mil::Operation& operation) const {
    const int64_t axis = literal_argument(f_, operation, "axis").integer();
    const auto rank = std::ssize(shape(operation.outputs.front()));
    return axis == -1 || axis == rank - 1;
  }
  bool is_slice(int32_t slice, ValueId part, int64_t begin) const {
    std::vector<int64_t> expected(shape(part).size(), 0);
    expected.back() = begin;
    return shape(op(slice).outputs.front()) == shape(part) &&
           literal_argument(f_, op(slice), "begin").integers() == expected;
  }

  // matmul(query^T, key) + mask, with the heads of a sequence brought together for the sum or not.
  bool match_scores(ValueId scores, size_t part) {
    if (const int32_t reshape = take(scores, "reshape"); reshape >= 0)
      scores = op(reshape).input("x");
    const int32_t add = take(scores, "add");
    if (add < 0) return false;
    pattern_.parts[part].mask = op(add).input("y");
    scores = op(add).input("x");
    if (const int32_t reshape = take(scores, "reshape"); reshape >= 0) {
      together_[part] = shape(scores);
      scores = op(reshape).input("x");
    }
    const int32_t product = take(scores, "matmul");
    if (product < 0 || !flag(product, "transpose_x")) return false;
    const ValueId query = op(product).input("x");
    if (part == 1 && query != pattern_.query) return false;
    pattern_.query = query;
    pattern_.parts[part].key = op(product).input("y");
    pattern_.parts[part].key_swapped = flag(product, "transpose_y");
    return true;
  }

  bool have_shapes() const {
    const Shape& query = shape(pattern_.query);
    if (query.size() != 4 || shape(pattern_.output) != query) return false;
    const int64_t heads = query[0] * query[1];
    for (size_t i = 0; i < 2; ++i) {
      const auto& part = pattern_.parts[i];
      Shape key = shape(part.key), value = shape(part.value);
      const Shape& mask = shape(part.mask);
      if (key.size() != 4 || value.size() != 4 || mask.size() != 4) return false;
      if (part.key_swapped) std::swap(key[2], key[3]);
      if (part.value_swapped) std::swap(value[2], value[3]);
      const bool own = mask[0] != 1;
      const Shape& together = together_[i];
      const bool aligned = !own || together.empty()
                               ? !own || (together.empty() && mask[0] == query[0])
                               : together == Shape{mask[0], heads / mask[0], query[3], key[3]};
      if (value != key || key[0] != query[0] || key[1] != 1 || key[2] != query[2] ||
          query[0] % mask[0] != 0 || !aligned || mask[1] != 1 || mask[2] != query[3] ||
          mask[3] != key[3])
        return false;
    }
    return true;
  }

  const mil::Function& f_;
  Pattern pattern_;
  std::vector<int32_t> ops_;
  std::array<int32_t, 2> slices_{};
  std::array<Shape, 2> together_;
};

void lower(Lowering& l, const Pattern& pattern) {
  const auto readable = [&](ValueId id, bool swapped) {
    const Operand x = swapped ? swap_last_two(l.operand_of(id)) : l.operand_of(id);
    return fits_cached_attention(x) ? x : l.dense(x);
  };
  CachedAttention attention;
  attention.query = l.operand_of(pattern.query);
  std::vector<int32_t> touched = {attention.query.storage};
  for (size_t i = 0; i < 2; ++i) {
    const Pattern::Part& part = pattern.parts[i];
    attention.parts[i] = {readable(part.key, part.key_swapped),
                          readable(part.value, part.value_swapped), l.operand_of(part.mask)};
    for (const Operand* x :
         {&attention.parts[i].key, &attention.parts[i].value, &attention.parts[i].mask})
      touched.push_back(x->storage);
    l.count_flops(4 * attention.query.elements() * attention.parts[i].key.shape.back());
  }
  attention.output = l.result_of(pattern.output);
  const CachedAttentionScratch sizes = cached_attention_scratch(attention);
  const Operand common = l.temporary(DataType::fp32, {1, sizes.common});
  const Operand own = l.thread_scratch(sizes.own);
  touched.insert(touched.end(), {attention.output.storage, common.storage, own.storage});
  l.emit(make_cached_attention_step(attention, common, own), std::move(touched));
}

} // namespace

// fp16 programs round after each op, as the ANE does.
std::vector<Group> find_cached_attention_groups(const mil::Function& function,
                                                const std::vector<bool>& taken) {
  std::vector<Group> groups;
  Matcher matcher(function);
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const mil::Operation& op = function.ops[i];
    if (std::string_view(op.name()) != "add") continue;
    const DataType dtype = function.type(op.outputs.front()).dtype;
    const bool fits = dtype == DataType::fp32 || dtype == DataType::bf16;
    if (!fits || !matcher.match(static_cast<int32_t>(i))) continue;
    Group group{matcher.ops(), [pattern = matcher.pattern()](Lowering& l) { lower(l, pattern); }};
    const bool free = std::none_of(group.ops.begin(), group.ops.end(), [&](int32_t member) {
      return taken[static_cast<size_t>(member)];
    });
    if (free && leaving(function, group) == std::vector{matcher.pattern().output})
      groups.push_back(std::move(group));
  }
  return groups;
}

} // namespace anet::backend::cpu
