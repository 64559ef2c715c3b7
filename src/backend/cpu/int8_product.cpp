#include "backend/cpu/int8_product.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

// Our own kernels.
class PackedInt8Product final : public Int8Product {
public:
  PackedInt8Product(const Int8ProductShape& shape, const int8_t* weights, Int8Epilogue epilogue)
      : shape_(shape), weights_(pack_int8(weights, shape.outputs, shape.depth)),
        epilogue_(std::move(epilogue)) {
    const auto padded = static_cast<size_t>(weights_.panels() * weights_.panel);
    epilogue_.scale.resize(padded);
    epilogue_.bias.resize(padded);
  }

  int64_t scratch_bytes() const override { return int8_scratch(weights_) * 2; }
  int64_t weight_bytes() const override { return std::ssize(weights_.codes) * 2; }
  void run(size_t share, const int8_t* x, std::byte* y, std::byte* scratch) const override {
    multiply_int8(weights_, epilogue_, x, shape_.shares[share], shape_.leading, y,
                  reinterpret_cast<int16_t*>(scratch));
  }

private:
  Int8ProductShape shape_;
  PackedInt8 weights_;
  Int8Epilogue epilogue_;
};

class Int8ProductStep final : public Step {
public:
  Int8ProductStep(const Int8ProductShape& shape, std::unique_ptr<Int8Product> product,
                  const Operand& x, const Operand& y, const Operand& scratch)
      : shape_(shape), product_(std::move(product)), x_(x), y_(y), scratch_(scratch) {
    int64_t first = 0;
    for (const int64_t rows : shape_.shares) {
      first_rows_.push_back(first);
      first += rows;
    }
  }

  void run(const RunContext& context) const override {
    const auto* x = address<int8_t>(context, x_);
    auto* y = address<std::byte>(context, y_);
    auto* scratch = address<std::byte>(context, scratch_);
    const int64_t row_bytes = shape_.outputs * element_size(y_.dtype);
    context.pool->run(std::ssize(shape_.shares), [&](int64_t share, int64_t) {
      const int64_t first = first_rows_[static_cast<size_t>(share)];
      product_->run(static_cast<size_t>(share), x + first * shape_.leading, y + first * row_bytes,
                    scratch + share * scratch_.shape[1]);
    });
  }

private:
  Int8ProductShape shape_;
  std::unique_ptr<Int8Product> product_;
  Operand x_, y_, scratch_;
  std::vector<int64_t> first_rows_;
};

} // namespace

Int8ProductShape Int8ProductShape::of(const Operand& x, int64_t outputs, int threads) {
  const int64_t rows = x.shape[0];
  Int8ProductShape shape;
  shape.outputs = outputs;
  shape.depth = x.shape[1];
  shape.leading = rows == 1 ? shape.depth : x.strides[0];
  const int64_t count =
      rows * outputs * shape.depth < parallel_narrow_work ? 1 : std::min<int64_t>(rows, threads);
  const int64_t share = (rows + count - 1) / count;
  for (int64_t first = 0; first < rows; first += share)
    shape.shares.push_back(std::min(share, rows - first));
  return shape;
}

std::unique_ptr<Int8Product> make_int8_product(const Int8ProductShape& shape, const int8_t* weights,
                                               const Int8Epilogue& epilogue) {
  if (auto product = make_library_int8_product(shape, weights, epilogue, Int8Exactness::required))
    return product;
  return std::make_unique<PackedInt8Product>(shape, weights, epilogue);
}

std::unique_ptr<Step> make_int8_product_step(const Int8ProductShape& shape,
                                             std::unique_ptr<Int8Product> product, const Operand& x,
                                             const Operand& y, const Operand& scratch) {
  return std::make_unique<Int8ProductStep>(shape, std::move(product), x, y, scratch);
}

} // namespace anet::backend::cpu
