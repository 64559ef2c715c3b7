// Several documents in a row, and rows in parts: both train as if each document had a row of its
// own, which the tests of golden.cpp compare with PyTorch.
#include "base/status.h"
#include "lora_support.h"
#include "support.h"
#include "train/session.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

using namespace anet;
using namespace anet::test;

namespace {

constexpr int64_t row_length = 16;

struct Document {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
};

// Every third target is not counted.
Document make_document(int64_t length, uint64_t seed) {
  const std::vector<int32_t> all = patterned_tokens(static_cast<size_t>(length + 1), seed);
  Document document{{all.begin(), all.end() - 1}, {all.begin() + 1, all.end()}};
  for (size_t i = 2; i < document.targets.size(); i += 3) document.targets[i] = io::ignored_target;
  return document;
}

// Rows of documents side by side. What documents leave of a row (or of a part of it) counts
// nothing.
struct Rows {
  io::Batch data;

  explicit Rows(int64_t count, int64_t parts = 1) {
    data.resize(count, row_length);
    data.parts = parts;
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      data.targets[i] = io::ignored_target;
      data.inputs[i] = 63;
      data.positions[i] = static_cast<int32_t>(static_cast<int64_t>(i) % (row_length / parts));
    }
  }
  // Returns the column behind the document; what follows is a document of its own.
  int64_t place(int64_t row, int64_t column, const Document& document) {
    auto at = static_cast<size_t>(row * row_length + column);
    const auto size = static_cast<int64_t>(document.tokens.size());
    for (int64_t i = 0; i < size; ++i, ++at) {
      data.inputs[at] = document.tokens[static_cast<size_t>(i)];
      data.targets[at] = document.targets[static_cast<size_t>(i)];
      data.positions[at] = static_cast<int32_t>(i);
    }
    const int64_t part = row_length / data.parts;
    for (int64_t i = 0; (column + size + i) % part != 0; ++i, ++at)
      data.positions[at] = static_cast<int32_t>(i);
    return column + size;
  }
  train::Batch view() const { return train::batch_of(data); }
};

struct Case {
  const char* name;
  model::Config config;
  train::SessionOptions options;
  double tolerance;
  // Trained is an adapter, over weights in ports or compressed ones, which are constants.
  bool adapter = false;
  bool compressed = false;
};

std::vector<Case> cases() {
  const auto change = [](auto&& edit) {
    Case result{"plain", small_config(), small_options(), 1e-5};
    edit(result);
    result.config = model::resolve(result.config);
    return result;
  };
  return {
      change([](Case&) {}),
      change([](Case& c) {
        c.name = "all heads alike";
        c.config.kv_head_count = 4;
      }),
      change([](Case& c) {
        c.name = "one key head, biases and norms of heads";
        c.config.kv_head_count = 1;
        c.config.qkv_bias = true;
        c.config.qk_norm = true;
      }),
      change([](Case& c) {
        c.name = "activations computed again, the loss in chunks";
        c.options.activation_checkpointing = true;
        c.options.loss_chunk = 5;
      }),
      change([](Case& c) {
        c.name = "f16";
        c.options.precision = train::PrecisionMode::f16;
        c.options.initial_loss_scale = 64;
        c.tolerance = 5e-3;
      }),
      change([](Case& c) {
        c.name = "an adapter";
        c.adapter = true;
      }),
      change([](Case& c) {
        c.name = "an adapter over compressed weights";
        c.adapter = c.compressed = true;
      }),
  };
}

std::unique_ptr<train::Session> session_of(const Case& test, int32_t rows, bool documents,
                                           int32_t length_buckets = 0) {
  train::SessionOptions options = test.options;
  options.batch_size = rows;
  options.documents = documents;
  options.length_buckets = length_buckets;
  auto model = std::make_shared<model::Model>(test.config);
  model::initialize(model->parameters(), model->config(), 1, model->weights());
  // Attention that looks somewhere: small weights would hide a wrong mask.
  for (const model::Parameter& parameter : model->parameters().all())
    if (parameter.decay)
      for (float& weight : model->values(parameter)) weight *= 8;
  const auto device = backend::open_device("cpu", {.threads = 2});
  if (!test.adapter) return std::make_unique<train::Session>(device, model, options);
  const auto adapter = small_adapter(test.compressed ? compressed_copy(*model) : model);
  return std::make_unique<train::Session>(device, adapter, options);
}

// The loss and the gradients of several micro-batches.
struct Gradients {
  double loss = 0;
  uint64_t tokens = 0;
  std::vector<float> values;
};

Gradients gradients_of(train::Session& session, std::span<const train::Batch> batches) {
  Gradients result;
  for (const train::Batch& batch : batches) {
    const train::StepResult step = session.forward_backward(batch);
    result.loss = step.loss;
    result.tokens = step.tokens;
  }
  result.values = copy(session.gradients());
  session.zero_gradients();
  return result;
}

double relative_difference(std::span<const float> seen, std::span<const float> expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double d = double(seen[i]) - expected[i];
    difference += d * d;
    norm += double(expected[i]) * expected[i];
  }
  return std::sqrt(difference / norm);
}

void check_same(const Gradients& seen, const Gradients& expected, double tolerance) {
  CHECK(seen.tokens == expected.tokens);
  CHECK(seen.loss == doctest::Approx(expected.loss).epsilon(tolerance));
  CHECK(relative_difference(seen.values, expected.values) <= tolerance);
}

const std::vector<int64_t> lengths = {5, 3, 7, 9, 4, 12, 1, 16};

std::vector<Document> make_documents() {
  std::vector<Document> documents;
  for (const int64_t length : lengths)
    documents.push_back(make_document(length, 40 + static_cast<uint64_t>(length)));
  return documents;
}

// One document a row, in micro-batches of four rows.
Gradients alone(const Case& test, const std::vector<Document>& documents) {
  std::vector<Rows> rows;
  std::vector<train::Batch> batches;
  for (size_t i = 0; i < documents.size(); ++i) {
    if (i % 4 == 0) rows.emplace_back(4);
    // Padding goes on in the document's positions, as it does in padded data.
    Rows& last = rows.back();
    last.place(static_cast<int64_t>(i % 4), 0, documents[i]);
    for (int64_t column = 0; column < row_length; ++column)
      last.data.positions[i % 4 * row_length + static_cast<size_t>(column)] =
          static_cast<int32_t>(column);
  }
  for (const Rows& row : rows) batches.push_back(row.view());
  return gradients_of(*session_of(test, 4, false), batches);
}

} // namespace

TEST_CASE("packed documents have the gradients of documents alone") {
  const std::vector<Document> documents = make_documents();
  for (const Case& test : cases()) {
    CAPTURE(test.name);
    const Gradients expected = alone(test, documents);
    // Two micro-batches of two rows.
    Rows first(2), second(2);
    int64_t column = first.place(0, 0, documents[0]);
    column = first.place(0, column, documents[1]);
    first.place(0, column, documents[2]);
    column = first.place(1, 0, documents[3]);
    first.place(1, column, documents[4]);
    column = second.place(0, 0, documents[5]);
    second.place(0, column, documents[6]);
    second.place(1, 0, documents[7]);
    const train::Batch batches[] = {first.view(), second.view()};
    const auto session = session_of(test, 2, true);
    check_same(gradients_of(*session, batches), expected, test.tolerance);
    // The tables of the first batch come back.
    check_same(gradients_of(*session, batches), expected, test.tolerance);
  }
}

TEST_CASE("rows in parts have the gradients of documents alone") {
  const std::vector<Document> documents = make_documents();
  for (const Case& test : cases())
    for (const bool confined : {false, true}) {
      CAPTURE(test.name);
      CAPTURE(confined);
      const Gradients expected = alone(test, documents);
      // 16, 12 and 9 alone; 5 and 7 in halves; 3, 4 and 1 in quarters.
      Rows whole(2), last(2), halves(2, 2), quarters(2, 4);
      whole.place(0, 0, documents[7]);
      whole.place(1, 0, documents[5]);
      last.place(0, 0, documents[3]);
      halves.place(0, 8, documents[0]);
      halves.place(1, 0, documents[2]);
      quarters.place(0, 0, documents[1]);
      quarters.place(0, 12, documents[4]);
      quarters.place(1, 8, documents[6]);
      if (!confined)
        for (Rows* rows : {&whole, &last, &halves, &quarters})
          for (size_t i = 0; i < rows->data.positions.size(); ++i)
            rows->data.positions[i] =
                static_cast<int32_t>(static_cast<int64_t>(i) % (row_length / rows->data.parts));
      const train::Batch batches[] = {whole.view(), halves.view(), quarters.view(), last.view()};
      const auto session = session_of(test, 2, confined, 2);
      check_same(gradients_of(*session, batches), expected, test.tolerance);
    }
}

TEST_CASE("positions may be left out, and begin anywhere") {
  const Case test = cases().front();
  const OwnedBatch plain(3);
  train::Batch batch = plain.view();
  const auto session = session_of(test, 2, false);
  const Gradients expected = gradients_of(*session, {&batch, 1});
  std::vector<int32_t> positions(32);
  for (size_t i = 0; i < 32; ++i) positions[i] = static_cast<int32_t>(i % 16);
  batch.positions = positions;
  CHECK(gradients_of(*session, {&batch, 1}).values == expected.values);
  // RoPE sees differences of positions alone.
  Case longer = test;
  longer.config.context_length = 64;
  for (size_t i = 0; i < 16; ++i) positions[i] += 40;
  check_same(gradients_of(*session_of(longer, 2, false), {&batch, 1}), expected, 1e-4);
}

TEST_CASE("batches that do not fit the session's documents and parts are refused") {
  const Case test = cases().front();
  const auto plain = session_of(test, 2, false);
  const auto packed = session_of(test, 2, true, 1);
  const auto refusal = [](train::Session& session, const Rows& rows) {
    return status_of([&] { session.eval(rows.view()); });
  };
  Rows rows(2);
  rows.place(0, 0, make_document(5, 1));
  CHECK(refusal(*plain, rows) == Status::invalid_data); // a second document begins at 5
  CHECK(refusal(*packed, rows) == Status::ok);
  rows.data.positions[7] = 9;
  CHECK(refusal(*packed, rows) == Status::invalid_data);
  rows.data.positions[7] = -1;
  CHECK(refusal(*packed, rows) == Status::out_of_range);
  Rows far(2);
  far.place(1, 0, make_document(16, 1));
  for (int32_t& position : far.data.positions) position += 1; // up to 16, the context's length
  CHECK(refusal(*packed, far) == Status::out_of_range);
  far.data.positions.pop_back();
  CHECK(refusal(*packed, far) == Status::shape_mismatch);

  Rows halves(2, 2);
  halves.place(0, 0, make_document(8, 1));
  CHECK(refusal(*plain, halves) == Status::invalid_argument); // not compiled
  CHECK(refusal(*packed, halves) == Status::ok);
  halves.data.positions[8] = 8; // goes on beyond its part
  CHECK(refusal(*packed, halves) == Status::invalid_data);
  for (const int64_t parts : {0, 3, 4, -2}) {
    Rows other(2);
    other.place(0, 0, make_document(8, 1));
    other.data.parts = parts;
    CHECK(refusal(*packed, other) == Status::invalid_argument);
  }
  train::SessionOptions options = small_options();
  options.length_buckets = 5; // 16 tokens do not have 32 parts
  CHECK(status_of([&] { small_session(options); }) == Status::invalid_argument);
  options.length_buckets = -1;
  CHECK(status_of([&] { small_session(options); }) == Status::invalid_argument);
}

TEST_CASE("the plan counts masks, and buckets share buffers") {
  const auto device = backend::open_device("cpu", {.threads = 1});
  const auto plan = [&](bool documents, int32_t buckets) {
    train::SessionOptions options = small_options();
    options.documents = documents;
    options.length_buckets = buckets;
    return train::Session::plan_memory(*device, small_config(), options);
  };
  const train::MemoryPlan causal = plan(false, 0);
  CHECK(plan(true, 0).workspace >= causal.workspace + 16 * 16 * 4); // a mask for the second row
  CHECK(plan(true, 0).activations == causal.activations);
  // Smaller attention needs no more room, and weights are not copied again.
  CHECK(plan(false, 2).activations == causal.activations);
  CHECK(plan(false, 2).staged == causal.staged);
}

TEST_CASE("documents are scored one by one, in the order of the rows") {
  const Case test = cases()[2];
  const std::vector<Document> documents = make_documents();

  // Rows 0 to 2: three documents, one, and one.
  class Fixed final : public io::Dataset {
  public:
    explicit Fixed(io::Batch rows)
        : Dataset({.shuffle = true, .seed = 5}), rows_(std::move(rows)) {}
    int64_t count() const override { return rows_.count; }
    int64_t sequence_length() const override { return row_length; }
    std::string fingerprint() const override { return {}; }
    void read_example(int64_t index, const io::ExampleRow& row) const override {
      const auto at = index * row_length;
      std::copy_n(rows_.inputs.begin() + at, row_length, row.inputs.begin());
      std::copy_n(rows_.targets.begin() + at, row_length, row.targets.begin());
      std::copy_n(rows_.positions.begin() + at, row_length, row.positions.begin());
    }

  private:
    io::Batch rows_;
  };
  Rows rows(3);
  int64_t column = rows.place(0, 0, documents[0]);
  column = rows.place(0, column, documents[1]);
  rows.place(0, column, documents[2]);
  rows.place(1, 0, documents[5]);
  rows.place(2, 0, documents[7]);
  const Fixed dataset(rows.data);
  const auto session = session_of(test, 2, true);
  const std::vector<train::DocumentLoss> losses = session->score(dataset, 0);
  REQUIRE(losses.size() == 5);
  const size_t order[] = {0, 1, 2, 5, 7};
  const int64_t expected_rows[] = {0, 0, 0, 1, 2};
  const int64_t begins[] = {0, 5, 8, 0, 0};
  double sum = 0;
  uint64_t tokens = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    CAPTURE(i);
    CHECK(losses[i].row == expected_rows[i]);
    CHECK(losses[i].begin == begins[i]);
    Rows single(2);
    single.place(0, 0, documents[order[i]]);
    const train::EvalResult expected = session->eval(single.view());
    CHECK(losses[i].loss() == doctest::Approx(expected.loss).epsilon(1e-5));
    CHECK(losses[i].tokens == expected.tokens);
    sum += losses[i].loss_sum;
    tokens += losses[i].tokens;
  }
  const train::EvalResult all = session->evaluate(dataset, 0);
  CHECK(all.tokens == tokens);
  CHECK(all.loss == doctest::Approx(sum / static_cast<double>(tokens)).epsilon(1e-12));
  CHECK(all.perplexity() == doctest::Approx(std::exp(all.loss)));
}
