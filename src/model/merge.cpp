#include "model/merge.h"

#include "base/status.h"
#include "base/thread_pool.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace anet::model {

namespace {

constexpr int64_t range_elements = int64_t{1} << 16; // less is not worth a thread

// What one adapter adds to a matrix: row i gains the sum over k of left(i, k) * right[k].
struct Share {
  double factor = 0; // weight * scale
  int64_t rank = 0;
  std::span<const float> left; // [rows, rank], of the embedding [rank, rows]
  int64_t row_stride = 0, rank_stride = 0;
  std::vector<float> right;         // [rank, columns]
  std::span<const float> magnitude; // [rows]; empty without DoRA
};

std::vector<float> transposed(std::span<const float> values, int64_t rows, int64_t columns) {
  std::vector<float> result(values.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      result[static_cast<size_t>(j * rows + i)] = values[static_cast<size_t>(i * columns + j)];
  return result;
}

Share share_of(const WeightedAdapter& weighted, const LoraModule& module) {
  const Adapter& adapter = *weighted.adapter;
  const auto values = [&](int32_t index) {
    return adapter.values(adapter.parameters()[static_cast<size_t>(index)]);
  };
  const std::span<const float> a = values(module.lora_a), b = values(module.lora_b);
  Share share;
  share.factor = weighted.weight * module.scale;
  share.rank = module.target.rank;
  if (module.port == "embed_tokens") { // ids are A's columns
    const int64_t rows = module.base->shape[0], columns = module.base->shape[1];
    share.left = a;
    share.row_stride = 1;
    share.rank_stride = rows;
    share.right = transposed(b, columns, share.rank);
  } else {
    share.left = b;
    share.row_stride = share.rank;
    share.rank_stride = 1;
    share.right.assign(a.begin(), a.end());
  }
  if (module.magnitude >= 0) share.magnitude = values(module.magnitude);
  return share;
}

void add_row(const Share& share, int64_t index, std::span<double> row) {
  for (int64_t k = 0; k < share.rank; ++k) {
    const float left =
        share.left[static_cast<size_t>(index * share.row_stride + k * share.rank_stride)];
    const double factor = share.factor * double{left};
    const float* right = share.right.data() + k * static_cast<int64_t>(row.size());
    for (size_t j = 0; j < row.size(); ++j) row[j] += factor * double{right[j]};
  }
}

// Rows of the direction keep it and get the magnitude.
void set_magnitude(double magnitude, std::span<double> row) {
  double squares = 0;
  for (const double value : row) squares += value * value;
  if (squares == 0) return;
  const double factor = magnitude / std::sqrt(squares);
  for (double& value : row) value *= factor;
}

void merge_matrix(ThreadPool& pool, std::span<const Share> shares, int64_t columns,
                  std::span<float> values) {
  const int64_t rows = static_cast<int64_t>(values.size()) / columns;
  const int64_t grain = std::max<int64_t>(1, range_elements / columns);
  pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<double> row(static_cast<size_t>(columns)); // rounded once, at the end
    for (int64_t i = begin; i < end; ++i) {
      const auto part = values.subspan(static_cast<size_t>(i * columns), row.size());
      std::copy(part.begin(), part.end(), row.begin());
      for (const Share& share : shares) {
        add_row(share, i, row);
        if (!share.magnitude.empty())
          set_magnitude(double{share.magnitude[static_cast<size_t>(i)]}, row);
      }
      for (size_t j = 0; j < row.size(); ++j) part[j] = static_cast<float>(row[j]);
    }
  });
}

void check_adapters(const Config& config, std::span<const WeightedAdapter> adapters) {
  for (const WeightedAdapter& weighted : adapters) {
    if (!(weighted.adapter->config() == config))
      fail(Status::invalid_argument,
           "expected adapters of this model, seen one of another configuration");
    if (!std::isfinite(weighted.weight))
      fail(Status::invalid_argument, "expected finite weights of adapters, seen ", weighted.weight);
    if (weighted.adapter->options().dora && (adapters.size() > 1 || weighted.weight != 1))
      fail(Status::unsupported,
           "expected a DoRA adapter alone and with weight 1, seen it in a weighted sum");
  }
}

std::vector<Share> shares_of(std::span<const WeightedAdapter> adapters, std::string_view module) {
  std::vector<Share> shares;
  for (const WeightedAdapter& weighted : adapters)
    if (const LoraModule* found = weighted.adapter->find(module))
      shares.push_back(share_of(weighted, *found));
  return shares;
}

bool adapts_embedding(std::span<const WeightedAdapter> adapters) {
  return std::any_of(adapters.begin(), adapters.end(), [](const WeightedAdapter& weighted) {
    return weighted.adapter->find("model.embed_tokens") != nullptr;
  });
}

// No session may train the model while this lives.
class TrainingLock {
public:
  explicit TrainingLock(Model& model) : model_(model) { model_.begin_training(); }
  ~TrainingLock() { model_.end_training(); }
  TrainingLock(const TrainingLock&) = delete;
  TrainingLock& operator=(const TrainingLock&) = delete;

private:
  Model& model_;
};

} // namespace

std::shared_ptr<Model> merged_model(const Model& base, std::span<const WeightedAdapter> adapters) {
  check_adapters(base.config(), adapters);
  Config config = base.config();
  if (adapts_embedding(adapters)) config.tie_embeddings = false;
  auto merged = std::make_shared<Model>(config);
  ThreadPool pool;
  for (const Parameter& parameter : merged->parameters().all()) {
    const Parameter* source = base.parameters().find(parameter.name);
    const bool untied = source == nullptr;
    const std::span<float> values = merged->values(parameter);
    base.read(untied ? base.parameters().head() : *source, values);
    if (parameter.shape.size() < 2 || untied) continue;
    const std::vector<Share> shares = shares_of(adapters, module_name(parameter));
    if (!shares.empty()) merge_matrix(pool, shares, parameter.shape[1], values);
  }
  return merged;
}

Merge::Merge(std::shared_ptr<Model> model, std::span<const WeightedAdapter> adapters)
    : model_(std::move(model)) {
  check_adapters(model_->config(), adapters);
  if (model_->config().tie_embeddings && adapts_embedding(adapters))
    fail(Status::unsupported, "expected untied embeddings to merge an adapter of the embedding in "
                              "place, seen tied ones; a merged copy unties them");
  const TrainingLock lock(*model_);
  std::vector<std::vector<Share>> shares;
  for (const Parameter& parameter : model_->parameters().all()) {
    if (parameter.shape.size() < 2) continue;
    std::vector<Share> found = shares_of(adapters, module_name(parameter));
    if (found.empty()) continue;
    const std::span<const float> values = std::as_const(*model_).values(parameter);
    replaced_.push_back({&parameter, {values.begin(), values.end()}});
    shares.push_back(std::move(found));
  }
  ThreadPool pool;
  for (size_t i = 0; i < replaced_.size(); ++i)
    merge_matrix(pool, shares[i], replaced_[i].parameter->shape[1],
                 model_->values(*replaced_[i].parameter));
  model_->touch();
  merged_ = true;
}

void Merge::unmerge() {
  if (!merged_) fail(Status::invalid_state, "expected a merged model, seen one that is unmerged");
  const TrainingLock lock(*model_);
  for (const Replaced& replaced : replaced_)
    std::copy(replaced.values.begin(), replaced.values.end(),
              model_->values(*replaced.parameter).begin());
  replaced_.clear();
  model_->touch();
  merged_ = false;
}

} // namespace anet::model
