#include "backend/cpu/lowering.h"

#include "backend/cpu/copy.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/gemv.h"
#include "backend/cpu/library_product.h"
#include "backend/cpu/matmul.h"
#include "base/float16.h"
#include "base/status.h"

#include <cstring>
#include <limits>
#include <numeric>

namespace anet::backend::cpu {

namespace {

// Below this a strided read costs less than a copy that removes it.
constexpr int64_t min_copied_elements = 2048;

// Of a matrix in few bits that are expanded at a time: 32 MB of bf16.
constexpr int64_t max_expanded_elements = int64_t{1} << 24;

// Row-major strides for dimensions in the given order of decreasing stride.
Strides dense_strides(const Shape& shape, const std::vector<size_t>& order) {
  Strides strides(shape.size());
  int64_t stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = stride;
    stride *= shape[order[i]];
  }
  return strides;
}

std::vector<size_t> dimension_order(const Shape& shape, const Operand* like) {
  std::vector<size_t> order(shape.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (like == nullptr || like->shape != shape) return order;
  // Repeated and single dimensions keep their places.
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1 && like->strides[d] == 0) return order;
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (shape[a] == 1 || shape[b] == 1) return false;
    return std::abs(like->strides[a]) > std::abs(like->strides[b]);
  });
  return order;
}

bool same_layout(const Operand& a, const Operand& b) {
  if (a.shape != b.shape || a.offset != b.offset) return false;
  for (size_t d = 0; d < a.shape.size(); ++d) {
    if (a.shape[d] != 1 && a.strides[d] != b.strides[d]) return false;
  }
  return true;
}

bool all_zero(const mil::Literal& literal) {
  const auto bytes = literal.data.view();
  return literal.type.dtype != DataType::string &&
         std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

} // namespace

mil::Literal literal_argument(const mil::Function& function, const mil::Operation& op,
                              std::string_view argument) {
  if (op.argument(argument) != nullptr || op.attribute(argument) != nullptr) {
    if (const mil::Literal* given = function.constant(op, argument)) return *given;
  } else if (const mil::ArgumentSchema* schema = op.schema->argument(argument)) {
    if (auto value = mil::default_argument(function, op, *schema)) return *std::move(value);
  }
  fail(Status::unsupported, op.name(), " needs the literal argument ", argument);
}

float rounded_argument(const mil::Function& function, const mil::Operation& op,
                       std::string_view argument, DataType dtype) {
  const double value = literal_argument(function, op, argument).number();
  return dtype == DataType::fp16 ? half_to_float(double_to_half(value)) : static_cast<float>(value);
}

bool is_zero(const mil::Function& function, const mil::Operation& op, std::string_view argument) {
  const mil::ValueId id = op.input(argument);
  if (id == mil::no_value) return false;
  if (const mil::Literal* literal = function.constant(id)) return all_zero(*literal);
  const int32_t producer = function.value(id).producer;
  if (producer < 0) return false;
  const mil::Operation& source = function.ops[static_cast<size_t>(producer)];
  const std::string_view name = source.name();
  const bool keeps_zeros = name == "tile" || name == "reshape" || name == "expand_dims" ||
                           name == "squeeze" || name == "identity" || name == "cast";
  return keeps_zeros && is_zero(function, source, "x");
}

bool adds_to_zeros(const mil::Function& function, const mil::Operation& scatter) {
  const mil::Literal* mode = function.constant(scatter, "mode");
  return mode != nullptr && mode->string() == "add" && is_zero(function, scatter, "data");
}

bool Lowering::has(std::string_view argument) const {
  if (op_->argument(argument) != nullptr || op_->attribute(argument) != nullptr) return true;
  const mil::ArgumentSchema* schema = op_->schema->argument(argument);
  return schema != nullptr && mil::default_argument(function_, *op_, *schema).has_value();
}

std::vector<int64_t> Lowering::integers(std::string_view argument) const {
  return literal(argument).integers();
}

const mil::Type& Lowering::result_type(size_t index) const {
  return function_.type(op_->outputs[index]);
}

Operand Lowering::operand(std::string_view argument) { return expanded(stored_operand(argument)); }

Operand Lowering::stored_operand(std::string_view argument) {
  if (const mil::Argument* found = op_->argument(argument)) return value(found->values.front());
  return constant(literal(argument));
}

std::vector<Operand> Lowering::operands(std::string_view argument) {
  std::vector<Operand> result;
  for (const mil::ValueId id : op_->argument(argument)->values)
    result.push_back(expanded(value(id)));
  return result;
}

Operand Lowering::value(mil::ValueId id) {
  std::optional<Operand>& known = values_[static_cast<size_t>(id)];
  if (!known) {
    const mil::Literal* literal = function_.constant(id);
    if (literal == nullptr) {
      fail(Status::invalid_program, op_->name(), " reads ", function_.value(id).name,
           " before it is defined");
    }
    known = constant(*literal);
  }
  return *known;
}

bool Lowering::keep_compressed() {
  if (!preparing_) return false;
  const mil::Type& type = result_type();
  if (type.dtype != DataType::fp32 && type.dtype != DataType::fp16) return false;
  std::optional<mil::CompressedWeight> weight = mil::compressed_weight(function_, *op_);
  if (!weight) return false;
  bind_compressed(*std::move(weight));
  return true;
}

bool Lowering::keep_compressed_cast() {
  const auto wide = compressed_.find(stored_operand("x").storage);
  if (wide == compressed_.end() || result_type().dtype != DataType::bf16) return false;
  bind_compressed(wide->second);
  return true;
}

void Lowering::bind_compressed(mil::CompressedWeight weight) {
  const mil::Type& type = result_type();
  Operand x;
  x.dtype = type.dtype;
  x.shape = type.shape;
  x.strides = mil::contiguous_strides(x.shape);
  Storage storage;
  storage.kind = Storage::Kind::constant;
  storage.bytes = static_cast<int64_t>(weight.bytes());
  storage.literal = weight.codes.view().data();
  x.storage = add_storage(std::move(storage));
  compressed_.emplace(x.storage, std::move(weight));
  bind(x);
}

std::optional<CompressedMatrix> Lowering::compressed_matrix(const Operand& x) const {
  const auto found = compressed_.find(x.storage);
  return found == compressed_.end() ? std::nullopt : cpu::compressed_matrix(x, found->second);
}

Operand Lowering::expanded(const Operand& x) {
  const auto weight = compressed_.find(x.storage);
  const auto activation = dequantized_.find(x.storage);
  if (weight == compressed_.end() && activation == dequantized_.end()) return x;
  const auto [copy, is_new] = dense_copies_.try_emplace(x.storage, -1);
  if (is_new && weight != compressed_.end()) {
    const bool outer = preparing_;
    preparing_ = true;
    const Operand dense = temporary(x.dtype, {weight->second.rows, weight->second.columns});
    emit(make_expand_step(weight->second, 0, dense), {&x, &dense});
    preparing_ = outer;
    copy->second = dense.storage;
  } else if (is_new) {
    const auto& [codes, scale] = activation->second;
    const Operand dense = temporary(x.dtype, codes.shape);
    pointwise("dequantize", {codes, constant(x.dtype, scale), constant(DataType::int8, 0)}, dense);
    // Later readers find it here, so that no result may take its place.
    storage_last_use_[static_cast<size_t>(dense.storage)] = std::numeric_limits<int32_t>::max();
    copy->second = dense.storage;
  }
  Operand view = x;
  view.storage = copy->second;
  return view;
}

bool Lowering::is_constant(const Operand& x) const {
  return plan_.storages[static_cast<size_t>(x.storage)].kind == Storage::Kind::constant;
}

int32_t Lowering::add_storage(Storage storage) {
  plan_.storages.push_back(std::move(storage));
  storage_last_use_.push_back(-1);
  return static_cast<int32_t>(plan_.storages.size() - 1);
}

Operand Lowering::constant(const mil::Literal& literal) {
  Operand x;
  x.dtype = literal.type.dtype;
  x.shape = literal.type.shape;
  x.strides = mil::contiguous_strides(x.shape);
  Storage storage;
  storage.kind = Storage::Kind::constant;
  storage.bytes = x.elements() * element_size(x.dtype);
  if (mil::data_type_bits(x.dtype) >= 8) {
    storage.literal = literal.data.view().data();
    plan_.literals.push_back(literal.data);
  } else if (x.dtype != DataType::boolean) {
    // Packed elements get a byte each.
    storage.owned = allocate_aligned(storage.bytes);
    for (int64_t i = 0; i < x.elements(); ++i) {
      storage.owned[static_cast<size_t>(i)] =
          static_cast<std::byte>(static_cast<int64_t>(literal.number(i)));
    }
  } else {
    storage.owned = allocate_aligned(storage.bytes);
    for (int64_t i = 0; i < x.elements(); ++i) {
      storage.owned[static_cast<size_t>(i)] = std::byte{literal.number(i) != 0};
    }
  }
  x.storage = add_storage(std::move(storage));
  return x;
}

Operand Lowering::thread_scratch(int64_t floats) {
  return temporary(DataType::fp32, {threads_, floats});
}

Operand Lowering::constant(DataType dtype, double value) {
  return constant(mil::Literal::scalar(dtype, value));
}

Operand Lowering::temporary(DataType dtype, const Shape& shape, const Operand* like) {
  Operand x;
  x.dtype = dtype;
  x.shape = shape;
  x.strides = dense_strides(shape, dimension_order(shape, like));
  Storage storage;
  storage.kind = preparing_ ? Storage::Kind::constant : Storage::Kind::temporary;
  storage.bytes = x.elements() * element_size(dtype);
  if (preparing_) storage.owned = allocate_aligned(storage.bytes);
  x.storage = add_storage(std::move(storage));
  return x;
}

Operand Lowering::temporary_in(DataType dtype, const Operand& layout) {
  Operand x = temporary(dtype, layout.shape);
  x.strides = layout.strides;
  return x;
}

Operand Lowering::result_in(const Operand& layout) {
  const auto at = static_cast<size_t>(op_->outputs.front());
  if (!destinations_[at]) values_[at] = temporary_in(result_type().dtype, layout);
  return result();
}

Operand Lowering::result_of(mil::ValueId id, const Operand* like) {
  const auto at = static_cast<size_t>(id);
  if (destinations_[at] && !destinations_[at]->accumulate) {
    values_[at] = destinations_[at]->place;
  } else if (!values_[at]) {
    values_[at] = temporary(stored_dtype(id), function_.type(id).shape, like);
  }
  int32_t& last = storage_last_use_[static_cast<size_t>(values_[at]->storage)];
  last = std::max(last, last_use_[at]);
  return *values_[at];
}

Operand Lowering::result_in_place_of(mil::ValueId id, std::span<const Operand> reuse) {
  const mil::Type& type = function_.type(id);
  const auto at = static_cast<size_t>(id);
  const Operand* like = nullptr;
  for (const Operand& x : reuse) {
    if (x.shape != type.shape) continue;
    if (like == nullptr) like = &x;
    const bool dying = !destinations_[at] && is_dying(x);
    // Repeated elements would be written more than once.
    const bool distinct = std::none_of(x.strides.begin(), x.strides.end(),
                                       [](int64_t stride) { return stride == 0; });
    const bool alone = std::all_of(reuse.begin(), reuse.end(), [&](const Operand& other) {
      return other.storage != x.storage || same_layout(other, x);
    });
    if (!dying || !distinct || !alone || x.dtype != type.dtype) continue;
    values_[at] = x;
    storage_last_use_[static_cast<size_t>(x.storage)] = last_use_[at];
    float_copies_.erase(x.storage);
    return x;
  }
  return result_of(id, like);
}

bool Lowering::is_dying(const Operand& x) const {
  const auto at = static_cast<size_t>(x.storage);
  return plan_.storages[at].kind == Storage::Kind::temporary && storage_last_use_[at] <= op_index_;
}

std::optional<Operand> Lowering::narrowed_in_place(const Operand& x, DataType dtype) const {
  const int64_t factor = element_size(x.dtype) / element_size(dtype);
  if (factor < 1 || !is_dying(x) || x.shape.empty() || x.strides.back() != 1) return std::nullopt;
  Operand narrow = x;
  narrow.dtype = dtype;
  narrow.offset *= factor;
  for (size_t d = 0; d + 1 < narrow.strides.size(); ++d) narrow.strides[d] *= factor;
  return narrow;
}

bool Lowering::accumulates(mil::ValueId id) const {
  const auto& destination = destinations_[static_cast<size_t>(id)];
  return destination && destination->accumulate;
}

Operand Lowering::accumulating_result_of(mil::ValueId id, bool& accumulate) {
  accumulate = false;
  if (!accumulates(id)) return result_of(id);
  accumulate = true;
  const auto at = static_cast<size_t>(id);
  values_[at] = destinations_[at]->place;
  destinations_[at]->accumulate = false; // it has been taken care of
  return *values_[at];
}

void Lowering::bind_value(mil::ValueId id, const Operand& view) {
  const auto at = static_cast<size_t>(id);
  if (destinations_[at] && !destinations_[at]->accumulate) {
    const Operand& place = destinations_[at]->place;
    if (place.storage != view.storage || !same_layout(place, view)) copy(view, place);
    values_[at] = place;
    return;
  }
  values_[at] = view;
  int32_t& last = storage_last_use_[static_cast<size_t>(view.storage)];
  last = std::max(last, last_use_[at]);
}

void Lowering::emit(std::unique_ptr<Step> step, std::initializer_list<const Operand*> touched) {
  std::vector<int32_t> storages;
  for (const Operand* x : touched) storages.push_back(x->storage);
  emit(std::move(step), std::move(storages));
}

void Lowering::emit(std::unique_ptr<Step> step, std::vector<int32_t> storages) {
  (preparing_ ? plan_.prepare : plan_.steps).push_back({std::move(step), std::move(storages)});
}

void Lowering::copy(const Operand& source, const Operand& destination) {
  const Operand from = expanded(source);
  emit(make_copy_step(from, destination), {&from, &destination});
}

void Lowering::fill(const Operand& destination, double value) {
  const Operand scalar = broadcast_view(constant(destination.dtype, value), destination.shape);
  copy(scalar, destination);
}

Operand Lowering::in_order_of(const Operand& x, const Operand& output) {
  if (x.shape != output.shape || x.elements() < min_copied_elements) return x;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    const bool inner = output.strides[d] == 1 && output.shape[d] > 1;
    if (inner && std::abs(x.strides[d]) > 1) return copied(x, &output);
  }
  return x;
}

void Lowering::pointwise(std::string_view op, std::vector<Operand> inputs, const Operand& output,
                         const PointwiseParameters& parameters, HalfRule rule) {
  for (Operand& x : inputs) x = in_order_of(x, output);
  std::vector<int32_t> storages = {output.storage};
  for (const Operand& x : inputs) storages.push_back(x.storage);
  emit(make_pointwise_step(op, inputs, output, parameters, rule), std::move(storages));
}

void Lowering::cast(const Operand& source, const Operand& destination, HalfRule rule) {
  if (source.dtype == destination.dtype) return copy(source, destination);
  pointwise("identity", {source}, destination, {}, rule);
}

Operand Lowering::as_float(const Operand& stored) {
  const Operand x = expanded(stored);
  if (x.dtype == DataType::fp32) return x;
  const auto [begin, end] = float_copies_.equal_range(x.storage);
  for (auto it = begin; it != end; ++it) {
    if (same_layout(it->second.first, x)) return it->second.second;
  }
  const bool outer = preparing_;
  preparing_ = preparing_ || is_constant(x);
  const Operand converted = temporary(DataType::fp32, x.shape, &x);
  cast(x, converted);
  preparing_ = outer;
  float_copies_.emplace(x.storage, std::pair(x, converted));
  return converted;
}

Operand Lowering::dense(const Operand& x) { return is_dense_row_major(x) ? x : copied(x); }

Operand Lowering::copied(const Operand& x, const Operand* like) {
  const bool outer = preparing_;
  preparing_ = preparing_ || is_constant(x);
  const Operand result = temporary(x.dtype, x.shape, like);
  copy(x, result);
  preparing_ = outer;
  return result;
}

Operand Lowering::reshaped(const Operand& x, const Shape& shape) {
  if (auto view = reshape_view(x, shape)) return *view;
  return *reshape_view(dense(x), shape);
}

Operand Lowering::float_matrix(const Operand& x) {
  const Operand values = as_float(x);
  return is_matrix(values) ? values : dense(values);
}

// Of a matrix with a few vectors, each as it is stored; none when it is another product.
std::optional<Gemv> Lowering::find_gemv(const Product& product, bool accumulate,
                                        std::vector<int32_t>& touched) {
  const auto& [a, b, c] = product;
  const auto made = [&](const Operand& matrix, const Operand& vectors,
                        const Operand& result) -> std::optional<Gemv> {
    if (result.shape.back() > max_gemv_columns) return std::nullopt;
    const std::optional<CompressedMatrix> compressed = compressed_matrix(matrix);
    const Operand m = compressed ? matrix : expanded(matrix), x = expanded(vectors);
    auto gemv = Gemv::make(m, compressed, x, result, accumulate);
    if (gemv) touched.insert(touched.end(), {m.storage, x.storage, result.storage});
    return gemv;
  };
  // What is in few bits is the matrix.
  if (compressed_matrix(a)) return made(a, b, c);
  if (!compressed_matrix(b))
    if (auto gemv = made(a, b, c)) return gemv;
  return made(swap_last_two(b), swap_last_two(a), swap_last_two(c)); // c^T = b^T a^T
}

// False when one of them is another product.
bool Lowering::gemv(std::span<const Product> products, bool accumulate) {
  std::vector<Gemv> gemvs;
  std::vector<int32_t> touched;
  int64_t floats = 0;
  for (const Product& product : products) {
    auto made = find_gemv(product, accumulate, touched);
    if (!made) return false;
    floats = std::max(floats, made->scratch());
    gemvs.push_back(*std::move(made));
  }
  for (const Product& product : products)
    count_flops(2 * product.c.elements() * product.a.shape.back());
  const Operand scratch = thread_scratch(floats);
  touched.push_back(scratch.storage);
  emit(make_gemv_step(std::move(gemvs), scratch), std::move(touched));
  return true;
}

void Lowering::matmuls(std::span<const Product> products) {
  if (gemv(products, false)) return;
  for (const Product& product : products) matmul(product.a, product.b, product.c);
}

Operand Lowering::gemm_matrix(const Operand& x) {
  if (x.dtype == DataType::fp32 || !gemm_reads(x.dtype)) return float_matrix(x);
  const Operand values = expanded(x);
  return is_matrix(values) ? values : dense(values);
}

// The operands stay in bf16; false where the library has no such product.
bool Lowering::library_matmul(const Operand& stored_a, const Operand& stored_b, const Operand& c,
                              bool accumulate) {
  if (const std::string reason = why_no_bf16_products(); !reason.empty()) {
    plan_.fallback = reason;
    return false;
  }
  const auto matrix = [&](const Operand& stored) {
    const Operand x = expanded(stored);
    return is_matrix(x) ? x : dense(x);
  };
  const Operand a = matrix(stored_a), b = matrix(stored_b);
  const bool direct = is_matrix(c) && (!accumulate || c.dtype == DataType::fp32);
  const Operand product = direct ? c : temporary(c.dtype, c.shape);
  auto made = LibraryMatmul::make(a, b, product, direct && accumulate, threads_);
  if (!made) {
    plan_.fallback = "some bf16 products run in fp32: the library has no fast one of their shape";
    return false;
  }
  const Operand scratch = temporary(DataType::int8, {made->slots(), made->scratch_bytes()});
  count_flops(2 * c.elements() * a.shape.back());
  emit(make_library_matmul_step(*std::move(made), scratch), {&a, &b, &product, &scratch});
  if (!direct && accumulate) pointwise("add", {c, product}, c);
  if (!direct && !accumulate) copy(product, c);
  return true;
}

// c = matrix * x for a matrix in few bits, some of the weight's rows after the others: they are
// expanded, and multiplied as if they had always been dense.
void Lowering::expanded_matmul(const Operand& matrix, const Operand& x, const Operand& c,
                               bool accumulate) {
  const mil::CompressedWeight& weight = compressed_.at(matrix.storage);
  const bool is_sum = compressed_matrix(matrix)->transposed;
  const int64_t most = std::max<int64_t>(1, max_expanded_elements / weight.columns);
  const int64_t pieces = (weight.rows + most - 1) / most;
  const bool direct = !is_sum || pieces == 1 || c.dtype == DataType::fp32;
  const Operand total = direct ? c : temporary(DataType::fp32, c.shape);
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t first = i * weight.rows / pieces;
    const int64_t rows = (i + 1) * weight.rows / pieces - first;
    const Operand dense = temporary(matrix.dtype, {rows, weight.columns});
    emit(make_expand_step(weight, first, dense), {&matrix, &dense});
    Operand part = matrix;
    part.storage = dense.storage;
    part.shape[part.shape.size() - (is_sum ? 1 : 2)] = rows;
    const auto of_rows = [&](const Operand& operand) {
      return slice_view(operand, operand.shape.size() - 2, first, rows);
    };
    const bool adds = direct && accumulate;
    if (is_sum) {
      matmul(part, of_rows(x), total, adds || i > 0);
    } else {
      matmul(part, x, of_rows(c), adds);
    }
  }
  if (!direct && accumulate) pointwise("add", {c, total}, c);
  if (!direct && !accumulate) cast(total, c);
}

void Lowering::matmul(Operand a, Operand b, const Operand& c, bool accumulate) {
  if (gemv({{{a, b, c}}}, accumulate)) return;
  const bool left = compressed_matrix(a).has_value();
  const bool right = !left && compressed_matrix(b).has_value();
  const bool narrow = a.dtype == DataType::bf16 && b.dtype == DataType::bf16 && !preparing_;
  const bool compressed = left || right;
  if (narrow && compressed && why_no_bf16_products().empty()) {
    if (left) return expanded_matmul(a, b, c, accumulate);
    return expanded_matmul(swap_last_two(b), swap_last_two(a), swap_last_two(c), accumulate);
  }
  if (narrow && library_matmul(a, b, c, accumulate)) return;
  if (!left) a = compressed ? float_matrix(a) : gemm_matrix(a);
  if (!right) b = compressed ? float_matrix(b) : gemm_matrix(b);
  const bool direct = c.dtype == DataType::fp32 && is_matrix(c);
  const Operand product = direct ? c : temporary(DataType::fp32, c.shape);
  const bool adds = direct && accumulate;
  if (!gemv({{{a, b, product}}}, adds)) float_product(a, b, product, adds);
  if (direct) return;
  if (accumulate) return pointwise("add", {c, product}, c);
  cast(product, c, HalfRule::multiply_accumulate);
}

// Of matrices of fp32, of which one may be in few bits.
void Lowering::float_product(const Operand& a, const Operand& b, const Operand& c,
                             bool accumulate) {
  count_flops(2 * c.elements() * a.shape.back());
  const std::optional<CompressedMatrix> left = compressed_matrix(a);
  const std::optional<CompressedMatrix> right = left ? std::nullopt : compressed_matrix(b);
  if (!left && !right) {
    const Operand scratch = thread_scratch(matmul_scratch(a, b, c));
    return emit(make_matmul_step(a, b, c, accumulate, scratch), {&a, &b, &c, &scratch});
  }
  const CompressedMatrix& matrix = left ? *left : *right;
  const Side side = left ? Side::left : Side::right;
  const Operand scratch = thread_scratch(compressed_matmul_scratch(matrix, side));
  emit(make_compressed_matmul_step(matrix, side, left ? b : a, c, scratch, accumulate),
       {&a, &b, &c, &scratch});
}

void Lowering::reduce(Reduction reduction, const Operand& x, const Operand& output) {
  emit(make_reduce_step(reduction, x, output), {&x, &output});
}

void Lowering::softmax(const Operand& x, const Operand& output, size_t axis) {
  if (softmax_fits(x, output, axis)) {
    return emit(make_softmax_step(x, output, axis), {&x, &output});
  }
  const Operand input = dense(x);
  const Operand target = is_dense_row_major(output) ? output : temporary(x.dtype, x.shape);
  emit(make_softmax_step(input, target, axis), {&input, &target});
  if (target.storage != output.storage) copy(target, output);
}

} // namespace anet::backend::cpu
