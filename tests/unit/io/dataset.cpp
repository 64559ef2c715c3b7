#include "io/dataset/dataset.h"

#include "io/tokenizer/byte_tokenizer.h"
#include "test_files.h"

#include <doctest/doctest.h>
#include <numeric>
#include <set>

using namespace anet;
using namespace anet::io;
using namespace anet::test;

namespace {

// Tokens 0, 1, 2, ...: a token's value is its position.
std::shared_ptr<const TokenSource> counting(int32_t size) {
  std::vector<int32_t> ids(static_cast<size_t>(size));
  std::iota(ids.begin(), ids.end(), 0);
  return std::make_shared<TokenArray>(std::move(ids), size);
}

} // namespace

TEST_CASE("windows cover the tokens, each a target once") {
  const WindowDataset dataset(counting(14), {0, 14}, 4, {.shuffle = false});
  CHECK(dataset.count() == 3); // 13 targets, 4 each
  const Batch batch = dataset.batch(0, 3);
  CHECK(batch.count == 3);
  CHECK(batch.sequence_length == 4);
  CHECK(batch.inputs == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(batch.targets == std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(batch.positions == std::vector<int32_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3});
  CHECK(dataset.batch(5, 2).inputs == std::vector<int32_t>{8, 9, 10, 11, 0, 1, 2, 3});
  CHECK(dataset.epoch(2) == 0);
  CHECK(dataset.epoch(3) == 1);
  CHECK(WindowDataset(counting(13), {0, 13}, 4, {}).count() == 3);
  CHECK(WindowDataset(counting(12), {0, 12}, 4, {}).count() == 2); // one target short of a third
  const WindowDataset tail(counting(14), {5, 14}, 4, {.shuffle = false});
  CHECK(tail.count() == 2);
  CHECK(tail.batch(1, 1).targets == std::vector<int32_t>{10, 11, 12, 13});
}

TEST_CASE("shuffled epochs hold every example once, in another order each") {
  const WindowDataset dataset(counting(1001), {0, 1001}, 10, {.seed = 5});
  REQUIRE(dataset.count() == 100);
  std::vector<std::vector<int64_t>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < 100; ++i) order.push_back(dataset.example_index(epoch * 100 + i));
    CHECK(std::set<int64_t>(order.begin(), order.end()).size() == 100);
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    epochs.push_back(order);
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[1] != epochs[2]);
  const WindowDataset same(counting(1001), {0, 1001}, 10, {.seed = 5});
  const WindowDataset other(counting(1001), {0, 1001}, 10, {.seed = 6});
  // A cursor is one integer: batches do not depend on where reading began.
  const Batch long_batch = dataset.batch(90, 20);
  const Batch second_half = same.batch(100, 10);
  CHECK(std::equal(second_half.inputs.begin(), second_half.inputs.end(),
                   long_batch.inputs.begin() + 100));
  CHECK(other.batch(0, 100).inputs != same.batch(0, 100).inputs);
}

TEST_CASE("batches reuse their memory") {
  const WindowDataset dataset(counting(101), {0, 101}, 10, {});
  Batch batch;
  dataset.read(0, 4, batch);
  const int32_t* memory = batch.inputs.data();
  dataset.read(4, 4, batch);
  CHECK(batch.inputs.data() == memory);
  CHECK(batch.inputs == dataset.batch(4, 4).inputs);
}

TEST_CASE("too little data says how much is needed") {
  CHECK(message_of([] {
          WindowDataset dataset(counting(4), {0, 4}, 4, {});
        }) == "expected at least 5 tokens for sequences of 4, seen 4");
  CHECK(message_of([] {
          WindowDataset dataset(counting(9), {9, 9}, 4, {});
        }) == "expected at least 5 tokens for sequences of 4, seen 0");
  CHECK(WindowDataset(counting(5), {0, 5}, 4, {}).count() == 1);
  CHECK(error_of([] {
          WindowDataset dataset(counting(9), {0, 10}, 4, {});
        })->status() == Status::out_of_range);
  CHECK(error_of([] {
          WindowDataset dataset(counting(9), {0, 9}, 0, {});
        })->status() == Status::invalid_argument);
  const WindowDataset dataset(counting(9), {0, 9}, 4, {});
  CHECK(error_of([&] { dataset.batch(0, 0); })->status() == Status::invalid_argument);
  CHECK(error_of([&] { dataset.batch(-1, 1); })->status() == Status::out_of_range);
}

TEST_CASE("the validation split is the tail and shares no token") {
  for (const double fraction : {0.01, 0.1, 0.5, 0.99}) {
    const DatasetSplit split = split_tokens(1000, fraction, 9);
    CHECK(split.train.begin == 0);
    CHECK(split.train.end == split.validation.begin);
    CHECK(split.validation.end == 1000);
    CHECK(split.train.size() >= 10);
    CHECK(split.validation.size() >= 10);
  }
  CHECK(split_tokens(1000, 0.1, 9).validation.size() == 100);
  CHECK(split_tokens(1000, 0.0, 9).train.size() == 1000);
  CHECK(split_tokens(1000, 0.0, 9).validation.size() == 0);
  CHECK(split_tokens(20, 0.1, 9).validation.size() == 10);
  CHECK(message_of([] { split_tokens(19, 0.1, 9); }) ==
        "expected at least 20 tokens for training and validation sequences of 9, seen 19");
  CHECK(error_of([] { split_tokens(100, 1.0, 9); })->status() == Status::invalid_argument);
  CHECK(error_of([] { split_tokens(100, -0.1, 9); })->status() == Status::invalid_argument);
}

TEST_CASE("text and token files make the same dataset") {
  const TemporaryDirectory root;
  const ByteTokenizer tokenizer;
  const std::string text = "the quick brown fox jumps over the lazy dog";
  const auto in_memory = tokenize_text(tokenizer, text, {.add_bos = true});
  TokenFileWriter writer(root / "tokens", tokenizer.vocab_size());
  writer.write(tokenizer.encode(text, {.add_bos = true}));
  writer.commit();
  const auto file = std::make_shared<TokenFile>(root / "tokens", tokenizer.vocab_size());
  REQUIRE(file->size() == in_memory->size());
  const WindowDataset a(in_memory, {0, in_memory->size()}, 8, {.seed = 1});
  const WindowDataset b(file, {0, file->size()}, 8, {.seed = 1});
  CHECK(a.batch(0, 12).inputs == b.batch(0, 12).inputs);
  CHECK(a.batch(0, 12).targets == b.batch(0, 12).targets);
}
