// From ops to steps. Lowering walks the function once; each op's rule either binds its results to
// views of what exists or emits steps that fill a new storage.
#pragma once

#include "backend/cpu/compressed.h"
#include "backend/cpu/gemv.h"
#include "backend/cpu/group.h"
#include "backend/cpu/plan.h"
#include "backend/cpu/pointwise.h"
#include "backend/cpu/reduce.h"
#include "mil/op_table.h"

#include <map>
#include <string>
#include <string_view>

namespace anet::backend::cpu {

// A compile-time argument of an op: given, or its default.
mil::Literal literal_argument(const mil::Function& function, const mil::Operation& op,
                              std::string_view argument);
// A number among them, rounded as an fp16 op on the ANE would see it.
float rounded_argument(const mil::Function& function, const mil::Operation& op,
                       std::string_view argument, DataType dtype);

// True when every element of the argument is known to be zero.
bool is_zero(const mil::Function& function, const mil::Operation& op, std::string_view argument);
// True for a scatter that only sums its updates.
bool adds_to_zeros(const mil::Function& function, const mil::Operation& scatter);

class Lowering {
public:
  // `groups` are of this function, in which the ops of each follow each other.
  Lowering(const mil::Function& function, const CompileOptions& options, int threads,
           std::span<const Group> groups);
  Plan lower() &&;

  // The op being lowered, and its arguments.
  const mil::Operation& op() const { return *op_; }
  const mil::Function& function() const { return function_; }
  bool has(std::string_view argument) const;
  // A value, or a literal that stands in an attribute or in the schema's defaults.
  Operand operand(std::string_view argument);
  std::vector<Operand> operands(std::string_view argument); // of a tuple
  // The same as it is stored, which may be in few bits: only views, compressed_matrix and matmul
  // can take that.
  Operand stored_operand(std::string_view argument);
  std::optional<CompressedMatrix> compressed_matrix(const Operand& x) const;
  // Binds the result to the compressed weight that the op describes, when it does.
  bool keep_compressed();
  bool keep_compressed_cast(); // the same for the cast of such a weight to bf16

  // Int8 tensors seen as numbers, one scale a tensor: dequantized only for readers that cannot take
  // the codes.
  struct Dequantized {
    Operand codes;
    double scale = 1;
  };
  bool keep_dequantized();                                // binds the result of dequantize
  const Dequantized* dequantized(const Operand& x) const; // whose codes x shows, or null
  // The scale of the quantize that alone reads the result, when a product can do its work; then
  // the memory for its codes.
  std::optional<double> quantize_behind() const;
  Operand quantized_result(const Operand& layout);
  bool is_bound() const; // the result of an op whose work was done before
  // An order of dimensions in which an int8 product can read the result of quantize.
  std::optional<Operand> int8_layout() const;
  // y[rows, outputs] = x[rows, depth] weight^T, times the scales, plus the op's bias, over
  // `output_scale` for a y of int8.
  void int8_product(const Operand& x, const mil::CompressedWeight& weight, double scale,
                    double output_scale, const Operand& y);
  // A compile-time argument: given, or its default.
  mil::Literal literal(std::string_view argument) const {
    return literal_argument(function_, *op_, argument);
  }
  int64_t integer(std::string_view argument) const { return literal(argument).integer(); }
  bool boolean(std::string_view argument) const { return literal(argument).boolean(); }
  std::string string(std::string_view argument) const { return literal(argument).string(); }
  std::vector<int64_t> integers(std::string_view argument) const;
  // A parameter of an element-wise op, rounded as an fp16 op on the ANE would see it.
  float parameter(std::string_view argument, DataType dtype) const {
    return rounded_argument(function_, *op_, argument, dtype);
  }
  const mil::Type& result_type(size_t index = 0) const;
  // The type that the result is stored in: that of the op, or fp32 for sums in bf16 that only a
  // cast to fp32 reads.
  DataType result_dtype() const { return stored_dtype(op_->outputs.front()); }

  // Binds a result to a view of existing memory; copies when an output port wants it elsewhere.
  void bind(const Operand& view, size_t index = 0) { bind_value(op_->outputs[index], view); }
  // Memory for a result: its output port when it has one, else a new temporary. `like` suggests
  // an order of dimensions: the result gets it when the shapes agree.
  Operand result(size_t index = 0, const Operand* like = nullptr) {
    return result_of(op_->outputs[index], like);
  }
  Operand result_in(const Operand& layout); // a new temporary has these strides
  // As result(), but the memory of `reuse` when that is about to die and fits.
  Operand result_in_place(std::span<const Operand> reuse) {
    return result_in_place_of(op_->outputs.front(), reuse);
  }
  // For products: the port itself when it accumulates and the op can add into it. Sets
  // `accumulate`.
  Operand accumulating_result(bool& accumulate) {
    return accumulating_result_of(op_->outputs.front(), accumulate);
  }
  bool accumulates() const { return accumulates(op_->outputs.front()); }

  // The same for groups, by value.
  Operand operand_of(mil::ValueId id) { return expanded(value(id)); }
  Operand stored_operand_of(mil::ValueId id) { return value(id); }
  void bind_value(mil::ValueId id, const Operand& view);
  Operand result_of(mil::ValueId id, const Operand* like = nullptr);
  Operand result_in_place_of(mil::ValueId id, std::span<const Operand> reuse);
  // x's memory as elements of a narrower type, each row where it was; none where x is read later.
  std::optional<Operand> narrowed_in_place(const Operand& x, DataType dtype) const;
  Operand accumulating_result_of(mil::ValueId id, bool& accumulate);
  bool accumulates(mil::ValueId id) const;
  // Multiply-adds count two.
  void count_flops(int64_t flops) { plan_.flops += preparing_ ? 0 : flops; }

  bool is_zero(std::string_view argument) const { return cpu::is_zero(function_, *op_, argument); }

  // Dense memory; `like`, of the same shape, suggests the order of dimensions.
  Operand temporary(DataType dtype, const Shape& shape, const Operand* like = nullptr);
  // The same with the strides of `layout`, which are dense in some order.
  Operand temporary_in(DataType dtype, const Operand& layout);
  Operand thread_scratch(int64_t floats); // [threads, floats] of fp32
  Operand constant(const mil::Literal& literal);
  Operand constant(DataType dtype, double value); // scalar

  // x, or a copy in the order of `output` when it has that shape and would be walked across its
  // rows.
  Operand in_order_of(const Operand& x, const Operand& output);

  // Emitters.
  void pointwise(std::string_view op, std::vector<Operand> inputs, const Operand& output,
                 const PointwiseParameters& parameters = {}, HalfRule rule = HalfRule::elementwise);
  void copy(const Operand& source, const Operand& destination);
  void fill(const Operand& destination, double value);
  void cast(const Operand& source, const Operand& destination,
            HalfRule rule = HalfRule::elementwise);
  // x as dense fp32, or as it is when it is fp32 already. Conversions are shared.
  Operand as_float(const Operand& stored);
  Operand float_matrix(const Operand& x);                          // the same, as a matrix
  Operand gemm_matrix(const Operand& x);                           // x as a matrix that gemm reads
  Operand copied(const Operand& x, const Operand* like = nullptr); // a dense copy
  Operand dense(const Operand& x);                                 // x, or a dense copy
  Operand reshaped(const Operand& x, const Shape& shape);          // a view, or of a dense copy
  // c = a * b; any strides.
  struct Product {
    Operand a, b, c;
  };
  // Independent ones, in one step where they are products with few vectors.
  void matmuls(std::span<const Product> products);
  // c = a * b, or added to c.
  void matmul(Operand a, Operand b, const Operand& c, bool accumulate = false);
  void reduce(Reduction reduction, const Operand& x, const Operand& output); // fp32
  void softmax(const Operand& x, const Operand& output, size_t axis);        // fp32
  void emit(std::unique_ptr<Step> step, std::initializer_list<const Operand*> touched);
  void emit(std::unique_ptr<Step> step, std::vector<int32_t> storages);

private:
  // Where a value must end up.
  struct Destination {
    Operand place;
    bool accumulate = false;
  };
  // An output that is produced elsewhere and copied, or added, to its port.
  struct Delivery {
    mil::ValueId value;
    Destination destination;
  };

  void make_ports();
  Layout port_layout(const mil::Value& value) const;
  void count_uses();
  void find_wide_sums(const std::vector<bool>& grouped);
  bool sums_in_fp32(const mil::Operation& op) const;
  DataType stored_dtype(mil::ValueId id) const {
    return wide_[static_cast<size_t>(id)] ? DataType::fp32 : function_.type(id).dtype;
  }
  void assign_destinations();
  void lower_op(const mil::Operation& op);
  void lower_group(const Group& group);
  void watch_overflow(const mil::Operation& op);
  void deliver();
  void replace_nan();
  void finish_memory();
  void assign_destination(mil::ValueId output, Destination destination);
  bool can_accumulate(const mil::Operation& op) const;
  // The place that makes the op's input, seen through the op, lie at `place`.
  std::optional<Operand> place_of_input(const mil::Operation& op, const Operand& place) const;
  int32_t add_storage(Storage storage);
  Operand value(mil::ValueId id);
  // x, or what it shows of a dense copy of what is stored in codes.
  Operand expanded(const Operand& x);
  const mil::Operation* only_reader(mil::ValueId id) const;
  void bind_compressed(mil::CompressedWeight weight);
  std::optional<Gemv> find_gemv(const Product& product, bool accumulate,
                                std::vector<int32_t>& touched);
  bool gemv(std::span<const Product> products, bool accumulate);
  bool is_dying(const Operand& x) const; // a temporary that nothing reads after this op
  void expanded_matmul(const Operand& matrix, const Operand& x, const Operand& c, bool accumulate);
  bool library_matmul(const Operand& a, const Operand& b, const Operand& c, bool accumulate);
  void float_product(const Operand& a, const Operand& b, const Operand& c, bool accumulate);
  bool is_constant(const Operand& x) const;

  const mil::Function& function_;
  const CompileOptions& options_;
  int threads_;
  std::span<const Group> groups_;
  Plan plan_;
  const mil::Operation* op_ = nullptr;
  int32_t op_index_ = 0;
  bool preparing_ = false; // the op depends on constants alone
  std::vector<std::optional<Operand>> values_;
  std::vector<std::optional<Destination>> destinations_;
  std::vector<Delivery> deliveries_;
  std::vector<int32_t> output_storages_;  // by output port
  std::vector<int32_t> uses_;             // by value: readers and outputs
  std::vector<int32_t> last_use_;         // by value: index of the last op that reads it
  std::vector<bool> wide_;                // by value: see result_dtype
  std::vector<int32_t> storage_last_use_; // by storage
  // By storage: what is in few bits, and the dense copies made of it.
  std::map<int32_t, mil::CompressedWeight> compressed_;
  std::map<int32_t, Dequantized> dequantized_;
  std::map<int32_t, int32_t> dense_copies_;
  // fp32 copies made so far, by the storage that they were made from.
  std::multimap<int32_t, std::pair<Operand, Operand>> float_copies_;
};

// conv, linear or matmul of a dequantized activation with a weight of int8_channel, [outputs,
// depth, 1...]; `axis` is that of the depth in the activation. False when the op is not such a
// product.
bool lower_int8_product(Lowering& l, std::string_view activation, std::string_view weight,
                        size_t axis, size_t output_axis);

// A convolution by numbers that is one matrix product without a bias.
bool is_plain_product(const mil::Function& function, const mil::Operation& op);
// `sum`, of the results of such products.
void lower_product_sum(Lowering& l, std::span<const mil::ValueId> products, mil::ValueId sum);
// Such products that do not wait for each other.
void lower_products(Lowering& l, std::span<const mil::ValueId> products);

// The rules of each family; nullptr for an op they do not know.
using LoweringRule = void (*)(Lowering&);
LoweringRule elementwise_rule(std::string_view op);
LoweringRule shape_rule(std::string_view op);
LoweringRule matrix_rule(std::string_view op);
LoweringRule reduction_rule(std::string_view op);
LoweringRule indexing_rule(std::string_view op);
LoweringRule quantization_rule(std::string_view op);
LoweringRule find_rule(std::string_view op);

// Why the op cannot run, or an empty string.
std::string why_unsupported(const mil::Function& function, const mil::Operation& op);

} // namespace anet::backend::cpu
