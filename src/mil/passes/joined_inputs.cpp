#include "base/status.h"
#include "mil/passes.h"
#include "mil/passes/extract.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::mil {

namespace {

constexpr int64_t channel_axis = 1;

// An input that is the matrix of a 1x1 convolution, and what it multiplies.
struct Product {
  ValueId x = no_value;
  ValueId matrix = no_value;
  bool transposed = false;
};

// W x + B z.
struct Sum {
  ValueId result = no_value;
  Product wide;
  Product low;
};

class Joiner {
public:
  Joiner(const Function& source, std::span<const std::string> matrices)
      : source_(source), uses_(source.count_uses()) {
    for (const Operation& op : source.ops)
      if (const auto sum = sum_of(op, matrices)) groups_[sum->wide.x].push_back(*sum);
    for (auto& [x, sums] : groups_)
      std::sort(sums.begin(), sums.end(), [&](const Sum& a, const Sum& b) {
        return source_.value(a.wide.matrix).name < source_.value(b.wide.matrix).name;
      });
    std::erase_if(groups_, [&](const auto& group) { return !is_worth_joining(group.second); });
  }

  JoinedInputs run() && {
    Function declared = source_;
    for (const auto& [x, sums] : groups_) declare(declared, sums);
    Rewriter rewriter(declared);
    done_.resize(source_.ops.size(), false);
    for (size_t i = 0; i < source_.ops.size(); ++i) emit(rewriter, i);
    return {without_unread(std::move(rewriter).finish().function), std::move(joined_)};
  }

private:
  int64_t channels(ValueId id) const { return source_.type(id).shape[channel_axis]; }

  // One product with a matrix, as Builder::linear writes it.
  bool is_linear(const Operation& op) const {
    if (std::string_view(op.name()) != "conv" || op.argument("bias") != nullptr) return false;
    const std::vector<int64_t> strides = source_.constant(op, "strides")->integers();
    return source_.constant(op, "pad_type")->string() == "valid" &&
           source_.constant(op, "groups")->integers() == std::vector<int64_t>{1} &&
           std::all_of(strides.begin(), strides.end(), [](int64_t n) { return n == 1; });
  }

  std::optional<Product> product_of(ValueId id) const {
    const Operation* conv = producer_of(source_, id);
    const bool alone = conv != nullptr && uses_[static_cast<size_t>(id)] == 1;
    if (!alone || !is_linear(*conv)) return std::nullopt;
    Product product{conv->input("x"), conv->input("weight"), false};
    const Operation* turn = producer_of(source_, product.matrix);
    if (turn != nullptr && is_matrix_transpose(source_, *turn))
      product = {product.x, turn->input("x"), true};
    const Shape& shape = source_.type(product.matrix).shape;
    const bool is_matrix = element_count(shape) == shape[0] * shape[1];
    if (producer_of(source_, product.matrix) != nullptr || !is_matrix) return std::nullopt;
    return product;
  }

  std::optional<Sum> sum_of(const Operation& op, std::span<const std::string> matrices) const {
    if (std::string_view(op.name()) != "add") return std::nullopt;
    const auto x = product_of(op.input("x")), y = product_of(op.input("y"));
    if (!x || !y) return std::nullopt;
    const auto is_named = [&](const Product& product) {
      const std::string& name = source_.value(product.matrix).name;
      return std::find(matrices.begin(), matrices.end(), name) != matrices.end();
    };
    if (is_named(*x) == is_named(*y)) return std::nullopt;
    return is_named(*x) ? Sum{op.outputs.front(), *x, *y} : Sum{op.outputs.front(), *y, *x};
  }

  // Without the join: B z is written, both products are read and their sum is written where W x
  // alone would be. With it: x and all z are read and written once more.
  bool is_worth_joining(const std::vector<Sum>& sums) const {
    int64_t saved = 0, added = 2 * channels(sums.front().wide.x);
    for (const Sum& sum : sums) {
      saved += 4 * channels(sum.result);
      added += 2 * channels(sum.low.x);
    }
    return saved > added && !reads_itself(sums);
  }

  // True where one sum's z follows from another.
  bool reads_itself(const std::vector<Sum>& sums) const {
    std::vector<bool> follows(source_.values.size(), false);
    for (const Sum& sum : sums) follows[static_cast<size_t>(sum.result)] = true;
    for (const Operation& op : source_.ops)
      for (const Argument& argument : op.arguments)
        for (const ValueId id : argument.values)
          if (follows[static_cast<size_t>(id)])
            for (const ValueId output : op.outputs) follows[static_cast<size_t>(output)] = true;
    return std::any_of(sums.begin(), sums.end(),
                       [&](const Sum& sum) { return follows[static_cast<size_t>(sum.low.x)]; });
  }

  void declare(Function& function, const std::vector<Sum>& sums) {
    const int64_t begin = channels(sums.front().wide.x);
    int64_t end = begin;
    for (const Sum& sum : sums) end += channels(sum.low.x);
    int64_t column = begin;
    for (const Sum& sum : sums) {
      const std::string& matrix = source_.value(sum.wide.matrix).name;
      JoinedInput joined{.name = matrix + (sum.wide.transposed ? "_transposed_joined" : "_joined"),
                         .matrix = matrix,
                         .matrix_transposed = sum.wide.transposed,
                         .factor = source_.value(sum.low.matrix).name,
                         .factor_transposed = sum.low.transposed,
                         .factor_column = column,
                         .factor_columns = channels(sum.low.x)};
      if (function.find(joined.name) != no_value)
        fail(Status::invalid_program, "expected no value '", joined.name, "', seen one");
      Type type = source_.type(sum.wide.matrix);
      type.shape[0] = channels(sum.result);
      type.shape[1] = end;
      function.values.push_back({joined.name, std::move(type), -1});
      function.inputs.push_back(static_cast<ValueId>(function.values.size()) - 1);
      weights_[sum.result] = {sum.wide.x, function.inputs.back()};
      joined_.push_back(std::move(joined));
      column += channels(sum.low.x);
    }
  }

  // After what it reads: what is joined may come from ops further down.
  void emit(Rewriter& rewriter, size_t index) {
    if (done_[index]) return;
    done_[index] = true;
    const Operation& op = source_.ops[index];
    const auto sum = weights_.find(op.outputs.front());
    if (sum == weights_.end()) {
      for (const Argument& argument : op.arguments)
        for (const ValueId id : argument.values) emit_value(rewriter, id);
      return rewriter.keep(rewriter.with_mapped_arguments(op));
    }
    const auto [x, weight] = sum->second;
    const ValueId joined = join(rewriter, x);
    rewriter.replace(op.outputs.front(),
                     rewriter.add("conv", {{"x", {joined}, false},
                                           {"weight", {rewriter.mapped(weight)}, false}}));
  }

  void emit_value(Rewriter& rewriter, ValueId id) {
    const int32_t producer = source_.value(id).producer;
    if (producer >= 0) emit(rewriter, static_cast<size_t>(producer));
  }

  // (x; z..), once.
  ValueId join(Rewriter& rewriter, ValueId x) {
    ValueId& joined = joins_.emplace(x, no_value).first->second;
    if (joined != no_value) return joined;
    std::vector<ValueId> parts = {x};
    for (const Sum& sum : groups_.at(x)) parts.push_back(sum.low.x);
    for (ValueId& part : parts) {
      emit_value(rewriter, part);
      part = rewriter.mapped(part);
    }
    const ValueId axis = rewriter.constant(Literal::int32(channel_axis));
    joined = rewriter.add("concat", {{"values", std::move(parts), true}, {"axis", {axis}, false}});
    return joined;
  }

  static Function without_unread(const Function& joined) {
    const Function function = eliminate_dead_code(joined);
    const std::vector<int32_t> uses = function.count_uses();
    std::vector<NamedValue> inputs, outputs;
    for (const ValueId id : function.inputs)
      if (uses[static_cast<size_t>(id)] > 0) inputs.push_back({id, function.value(id).name});
    for (const ValueId id : function.outputs) outputs.push_back({id, function.value(id).name});
    return extract(function, inputs, outputs);
  }

  const Function& source_;
  std::vector<int32_t> uses_;
  std::map<ValueId, std::vector<Sum>> groups_;             // by x
  std::map<ValueId, std::pair<ValueId, ValueId>> weights_; // by sum: x and the joined matrix
  std::map<ValueId, ValueId> joins_;                       // by x
  std::vector<JoinedInput> joined_;
  std::vector<bool> done_; // by op
};

} // namespace

JoinedInputs joined_inputs(const Function& function, std::span<const std::string> matrices) {
  JoinedInputs result = Joiner(function, matrices).run();
  verify(result.function);
  return result;
}

} // namespace anet::mil
