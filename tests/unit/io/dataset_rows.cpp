// Examples laid out in rows: against the rows that tests/golden/dataset/make_dataset.py makes, and
// by their properties.
#include "io/dataset/example_dataset.h"

#include "base/json.h"
#include "base/random.h"
#include "io/dataset/packing.h"
#include "test_files.h"

#include <doctest/doctest.h>
#include <map>
#include <numeric>
#include <set>

using namespace anet;
using namespace anet::io;
using namespace anet::test;

namespace {

const Json& golden() {
  static const Json json = Json::parse(get("tests/golden/dataset/rows.json"), "rows.json");
  return json;
}

std::vector<int32_t> to_int32(const JsonView& view) {
  const std::vector<int64_t> wide = view.integers();
  return {wide.begin(), wide.end()};
}

std::shared_ptr<const ExampleStore> golden_examples() {
  const JsonView examples = JsonView(golden()).at("examples");
  ExampleStoreWriter writer(300);
  for (size_t i = 0; i < examples.size(); ++i) {
    const std::vector<int32_t> mask = to_int32(examples.at(i).at("mask"));
    writer.add(to_int32(examples.at(i).at("ids")), std::vector<uint8_t>(mask.begin(), mask.end()));
  }
  return writer.finish();
}

// No two tokens are equal: an id names its place. Lengths are from 2 to `longest`, most are short.
std::shared_ptr<const ExampleStore> distinct_examples(int64_t count, int64_t longest,
                                                      uint64_t seed) {
  Random random(seed);
  ExampleStoreWriter writer(1 << 24);
  int32_t id = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto draw = static_cast<double>(longest - 2) * random.uniform() * random.uniform();
    std::vector<int32_t> ids(2 + static_cast<size_t>(draw));
    std::iota(ids.begin(), ids.end(), id);
    id += static_cast<int32_t>(ids.size());
    std::vector<uint8_t> mask(ids.size());
    for (uint8_t& value : mask) value = random.uniform() < 0.6 ? 1 : 0;
    mask.back() = 1;
    writer.add(ids, mask);
  }
  return writer.finish();
}

// What must hold at place `t` of a row whatever the layout is.
bool is_right(const Batch& batch, size_t begin, size_t t, int32_t vocab_size) {
  const int32_t input = batch.inputs[begin + t];
  const int32_t target = batch.targets[begin + t];
  const int32_t position = batch.positions[begin + t];
  const auto part = static_cast<size_t>(batch.sequence_length / batch.parts);
  if (input < 0 || input >= vocab_size || position < 0) return false;
  if (t % part == 0 && position != 0) return false;
  if (position > 0 && position != batch.positions[begin + t - 1] + 1) return false;
  if (target == ignored_target) return true;
  // A target follows its input, and all before it in its document is what came before it.
  return target == input + 1 &&
         batch.inputs[begin + t - static_cast<size_t>(position)] == input - position;
}

// Also counts how often each id is a target.
void check_rows(const Batch& batch, const ExampleStore& store, std::map<int32_t, int>& targets) {
  int64_t wrong = 0;
  for (int64_t row = 0; row < batch.count; ++row) {
    const auto begin = static_cast<size_t>(row * batch.sequence_length);
    for (size_t t = 0; t < static_cast<size_t>(batch.sequence_length); ++t) {
      if (!is_right(batch, begin, t, store.vocab_size())) ++wrong;
      if (batch.targets[begin + t] != ignored_target) ++targets[batch.targets[begin + t]];
    }
  }
  CHECK(wrong == 0);
}

std::map<int32_t, int> supervised_ids(const ExampleStore& store) {
  std::map<int32_t, int> ids;
  for (const StoredToken token : store.all_tokens())
    if (token.supervised()) ids[token.id()] = 1;
  return ids;
}

std::map<int32_t, int> targets_of_epoch(const ExampleDataset& dataset, const ExampleStore& store,
                                        int64_t epoch) {
  std::map<int32_t, int> targets;
  const RowOptions& options = dataset.options();
  const int64_t group = options.layout == RowLayout::bucketed ? options.batch_size : 1;
  for (int64_t first = 0; first < dataset.count(); first += group)
    check_rows(dataset.batch(epoch * dataset.count() + first, group), store, targets);
  return targets;
}

} // namespace

TEST_CASE("padded rows equal those of an independent implementation") {
  const auto store = golden_examples();
  const int64_t length = JsonView(golden()).at("sequence_length").integer();
  for (const auto& [name, policy] :
       {std::pair{"truncate", LongExamples::truncate}, std::pair{"skip", LongExamples::skip},
        std::pair{"split", LongExamples::split}}) {
    CAPTURE(name);
    const JsonView expected = JsonView(golden()).at("cases").at(name);
    const ExampleDataset dataset(store, {.sequence_length = length, .long_examples = policy},
                                 {.shuffle = false});
    const JsonView rows = expected.at("rows");
    REQUIRE(dataset.count() == static_cast<int64_t>(rows.size()));
    for (size_t i = 0; i < rows.size(); ++i) {
      const Batch batch = dataset.batch(static_cast<int64_t>(i), 1);
      CHECK(batch.inputs == to_int32(rows.at(i).at("inputs")));
      CHECK(batch.targets == to_int32(rows.at(i).at("targets")));
      CHECK(batch.positions == to_int32(rows.at(i).at("positions")));
    }
    CHECK(dataset.report().supervised_tokens == expected.at("supervised").integer());
    CHECK(dataset.report().positions == expected.at("positions").integer());
    const ExampleDataset packed(
        store, {.sequence_length = length, .layout = RowLayout::packed, .long_examples = policy},
        {.seed = 4});
    CHECK(packed.count() == expected.at("packed_rows").integer());
    CHECK(packed.report().supervised_tokens == expected.at("supervised").integer());
    CHECK(packed.report().density(length) ==
          doctest::Approx(expected.at("positions").number() /
                          static_cast<double>(packed.count() * length)));
  }
}

TEST_CASE("every supervised token is a target exactly once in each epoch") {
  const auto store = distinct_examples(500, 150, 3);
  const std::map<int32_t, int> expected = supervised_ids(*store);
  for (const RowLayout layout : {RowLayout::padded, RowLayout::packed, RowLayout::bucketed})
    for (const bool shuffle : {false, true})
      for (const int64_t batch_size : {1, 3, 8}) {
        const RowOptions options{.sequence_length = 64,
                                 .layout = layout,
                                 .long_examples = LongExamples::split,
                                 .batch_size = batch_size,
                                 .length_buckets = 3};
        const ExampleDataset dataset(store, options, {shuffle, 9});
        for (const int64_t epoch : {0, 1, 7})
          CHECK(targets_of_epoch(dataset, *store, epoch) == expected);
        CHECK(dataset.report().lost_supervised == 0);
        CHECK(dataset.report().rows == dataset.count());
      }
}

TEST_CASE("what truncating and skipping cost is counted") {
  const auto store = distinct_examples(500, 150, 3);
  for (const RowLayout layout : {RowLayout::padded, RowLayout::packed, RowLayout::bucketed})
    for (const LongExamples policy : {LongExamples::truncate, LongExamples::skip}) {
      const ExampleDataset dataset(
          store, {.sequence_length = 64, .layout = layout, .long_examples = policy}, {.seed = 1});
      std::map<int32_t, int> expected;
      int64_t longer = 0;
      for (int64_t i = 0; i < store->count(); ++i) {
        const auto tokens = store->example(i);
        const bool fits = tokens.size() <= 65;
        longer += fits ? 0 : 1;
        if (!fits && policy == LongExamples::skip) continue;
        for (size_t t = 0; t < std::min<size_t>(tokens.size(), 65); ++t)
          if (tokens[t].supervised()) expected[tokens[t].id()] = 1;
      }
      REQUIRE(longer > 10);
      CHECK(targets_of_epoch(dataset, *store, 0) == expected);
      const RowReport& report = dataset.report();
      CHECK(report.supervised_tokens == static_cast<int64_t>(expected.size()));
      CHECK(report.lost_supervised == store->supervised_tokens() - report.supervised_tokens);
      CHECK(report.truncated == (policy == LongExamples::truncate ? longer : 0));
      CHECK(report.skipped == (policy == LongExamples::skip ? longer : 0));
    }
}

TEST_CASE("an example whose supervised part is cut off is left out and counted") {
  ExampleStoreWriter writer(100);
  writer.add(std::vector<int32_t>{1, 2, 3, 4, 5, 6}, std::vector<uint8_t>{0, 0, 0, 0, 0, 1});
  writer.add(std::vector<int32_t>{7, 8}, {});
  const auto store = writer.finish();
  const ExampleDataset cut(store, {.sequence_length = 4}, {});
  CHECK(cut.count() == 1);
  CHECK(cut.report().truncated == 1);
  CHECK(cut.report().nothing_to_learn == 1);
  CHECK(cut.report().lost_supervised == 1);
  CHECK(cut.examples_of(0) == std::vector<int64_t>{1});
  // Split: only the piece that teaches something is there.
  const ExampleDataset split(store, {.sequence_length = 4, .long_examples = LongExamples::split},
                             {.shuffle = false});
  REQUIRE(split.count() == 2);
  CHECK(split.batch(0, 1).inputs == std::vector<int32_t>{5, 0, 0, 0});
  CHECK(split.batch(0, 1).targets == std::vector<int32_t>{6, -1, -1, -1});
  CHECK(split.report().split == 1);
  CHECK(split.report().pieces == 2);
  CHECK(split.report().nothing_to_learn == 1);
  ExampleStoreWriter only(100);
  only.add(std::vector<int32_t>{1, 2, 3, 4, 5, 6}, std::vector<uint8_t>{0, 0, 0, 0, 0, 1});
  CHECK(message_of([&] { ExampleDataset(only.finish(), {.sequence_length = 4}, {}); }) ==
        "expected at least one example for sequences of 4 tokens, seen 1 of which 0 are too long "
        "and 1 have nothing left to learn");
}

TEST_CASE("padding is known by its place: a token like it is learned") {
  // 0 is what padding is written as, and here also the end of text.
  ExampleStoreWriter writer(10);
  writer.add(std::vector<int32_t>{5, 0}, {});
  writer.add(std::vector<int32_t>{0, 0, 0}, {});
  const auto store = writer.finish();
  const ExampleDataset padded(store, {.sequence_length = 4}, {.shuffle = false});
  CHECK(padded.batch(0, 2).targets == std::vector<int32_t>{0, -1, -1, -1, 0, 0, -1, -1});
  CHECK(padded.batch(0, 2).positions == std::vector<int32_t>{0, 1, 2, 3, 0, 1, 2, 3});
  const ExampleDataset packed(store, {.sequence_length = 5, .layout = RowLayout::packed},
                              {.shuffle = false});
  CHECK(packed.batch(0, 1).targets == std::vector<int32_t>{0, 0, 0, -1, -1});
  CHECK(packed.batch(0, 1).positions == std::vector<int32_t>{0, 0, 1, 0, 1});
}

TEST_CASE("the order can be entered anywhere") {
  const auto store = distinct_examples(300, 100, 5);
  for (const RowLayout layout : {RowLayout::padded, RowLayout::packed, RowLayout::bucketed}) {
    const RowOptions options{.sequence_length = 64, .layout = layout, .batch_size = 4};
    const ExampleDataset dataset(store, options, {.seed = 7});
    const ExampleDataset same(distinct_examples(300, 100, 5), options, {.seed = 7});
    CHECK(dataset.fingerprint() == same.fingerprint());
    const int64_t batches = 3 * dataset.count() / 4;
    for (int64_t i = batches - 1; i >= 0; i -= 5) { // backwards, from another object
      const Batch a = dataset.batch(i * 4, 4);
      const Batch b = same.batch(i * 4, 4);
      REQUIRE(a.inputs == b.inputs);
      REQUIRE(a.targets == b.targets);
      REQUIRE(a.positions == b.positions);
      REQUIRE(a.parts == b.parts);
    }
    const ExampleDataset other(store, options, {.seed = 8});
    CHECK(other.fingerprint() != dataset.fingerprint());
    CHECK(other.batch(0, 4).inputs != dataset.batch(0, 4).inputs);
    CHECK(dataset.batch(0, 4).inputs != dataset.batch(dataset.count(), 4).inputs);
  }
}

TEST_CASE("options that change rows change the fingerprint") {
  const auto store = distinct_examples(50, 60, 5);
  std::set<std::string> seen;
  const auto add = [&](const RowOptions& options, DatasetOrder order) {
    CHECK(seen.insert(ExampleDataset(store, options, order).fingerprint()).second);
  };
  add({.sequence_length = 32}, {.seed = 1});
  add({.sequence_length = 32}, {.seed = 2});
  add({.sequence_length = 32}, {.shuffle = false});
  add({.sequence_length = 64}, {.seed = 1});
  add({.sequence_length = 32, .long_examples = LongExamples::split}, {.seed = 1});
  add({.sequence_length = 32, .layout = RowLayout::packed}, {.seed = 1});
  add({.sequence_length = 32, .layout = RowLayout::bucketed}, {.seed = 1});
  add({.sequence_length = 32, .layout = RowLayout::bucketed, .batch_size = 2}, {.seed = 1});
  add({.sequence_length = 32, .layout = RowLayout::bucketed, .length_buckets = 2}, {.seed = 1});
  const auto others = distinct_examples(50, 60, 6);
  CHECK(seen.count(ExampleDataset(others, {.sequence_length = 32}, {.seed = 1}).fingerprint()) ==
        0);
  // The batch size is nothing to rows that do not come in groups.
  CHECK(
      ExampleDataset(store, {.sequence_length = 32, .batch_size = 4}, {.seed = 1}).fingerprint() ==
      ExampleDataset(store, {.sequence_length = 32}, {.seed = 1}).fingerprint());
}

TEST_CASE("bucketed batches have one number of parts and short examples small ones") {
  const auto store = distinct_examples(1000, 129, 11);
  for (const int64_t batch_size : {1, 4}) {
    const ExampleDataset dataset(store,
                                 {.sequence_length = 128,
                                  .layout = RowLayout::bucketed,
                                  .batch_size = batch_size,
                                  .length_buckets = 3},
                                 {.seed = 2});
    REQUIRE(dataset.count() % batch_size == 0);
    std::map<int64_t, int64_t> rows_by_parts;
    std::vector<int64_t> seen;
    for (int64_t row = 0; row < dataset.count(); ++row) {
      const int64_t parts = dataset.parts(row);
      ++rows_by_parts[parts];
      CHECK(static_cast<int64_t>(dataset.examples_of(row).size()) <= parts);
      for (const int64_t example : dataset.examples_of(row)) {
        CHECK(store->length(example) - 1 <= 128 / parts);
        seen.push_back(example);
      }
    }
    std::sort(seen.begin(), seen.end());
    std::vector<int64_t> all(1000);
    std::iota(all.begin(), all.end(), 0);
    CHECK(seen == all);
    for (size_t shift = 0; shift < 4; ++shift)
      CHECK(dataset.report().rows_by_parts[shift] == rows_by_parts[int64_t{1} << shift]);
    CHECK(rows_by_parts[8] > 0);
    CHECK(rows_by_parts[1] > 0);
    // Rows are dearer than their share of examples only by what fills the last batches.
    int64_t shares = 0; // in eighths of a row
    for (int64_t i = 0; i < store->count(); ++i) {
      int64_t share = 8;
      while (share > 1 && store->length(i) - 1 <= 128 * (share / 2) / 8) share /= 2;
      shares += share;
    }
    CHECK(dataset.count() <= shares / 8 + 4 * 2 * batch_size);

    for (int64_t first = 0; first < 2 * dataset.count(); first += batch_size) {
      const Batch batch = dataset.batch(first, batch_size);
      CHECK(std::any_of(batch.targets.begin(), batch.targets.end(),
                        [](int32_t id) { return id != ignored_target; }));
    }
  }
}

TEST_CASE("rows of different parts are not read as one batch") {
  const auto store = distinct_examples(200, 129, 11);
  const ExampleDataset dataset(
      store, {.sequence_length = 128, .layout = RowLayout::bucketed, .batch_size = 2}, {});
  Batch batch;
  const auto error = error_of([&] { dataset.read(0, dataset.count(), batch); });
  REQUIRE(error);
  CHECK(error->status() == Status::invalid_argument);
  CHECK(error->message().find("read whole groups of 2 rows") != std::string::npos);
}

TEST_CASE("packing takes as few rows as an independent best fit") {
  const JsonView packing = JsonView(golden()).at("packing");
  const std::vector<int64_t> lengths = packing.at("lengths").integers();
  const int64_t capacity = packing.at("capacity").integer();
  const Packing packed = pack_best_fit(lengths, capacity);
  CHECK(packed.rows() == packing.at("rows").integer());
  std::vector<uint32_t> items = packed.items;
  uint32_t first_before = 0;
  for (int64_t row = 0; row < packed.rows(); ++row) {
    const auto begin = packed.items.begin() + packed.row_begin[static_cast<size_t>(row)];
    const auto end = packed.items.begin() + packed.row_begin[static_cast<size_t>(row) + 1];
    REQUIRE(begin < end);
    CHECK(std::is_sorted(begin, end));
    CHECK((row == 0 || *begin > first_before));
    first_before = *begin;
    CHECK(std::accumulate(begin, end, int64_t{0}, [&](int64_t sum, uint32_t item) {
            return sum + lengths[item];
          }) <= capacity);
  }
  std::sort(items.begin(), items.end());
  std::vector<uint32_t> all(lengths.size());
  std::iota(all.begin(), all.end(), uint32_t{0});
  CHECK(items == all);
}

TEST_CASE("packing at its limits") {
  CHECK(pack_best_fit({}, 5).rows() == 0);
  CHECK(pack_best_fit(std::vector<int64_t>{5}, 5).rows() == 1);
  CHECK(pack_best_fit(std::vector<int64_t>{1, 5, 4, 5}, 5).rows() == 3);
  CHECK(pack_best_fit(std::vector<int64_t>(1000, 1), 1).rows() == 1000);
  CHECK(pack_best_fit(std::vector<int64_t>(1000, 1), int64_t{1} << 40).rows() == 1);
  CHECK(error_of([] { pack_best_fit(std::vector<int64_t>{6}, 5); })->status() ==
        Status::invalid_argument);
  CHECK(error_of([] { pack_best_fit(std::vector<int64_t>{0}, 5); })->status() ==
        Status::invalid_argument);
}

TEST_CASE("a million short examples are packed quickly and tightly") {
  Random random(1);
  std::vector<int64_t> lengths(1'000'000);
  for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random.below(2048));
  const Packing packing = pack_best_fit(lengths, 2048);
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  CHECK(static_cast<double>(total) / static_cast<double>(packing.rows() * 2048) > 0.999);
}

TEST_CASE("row options that do not fit are refused") {
  const auto store = distinct_examples(5, 10, 1);
  const auto refused = [&](const RowOptions& options) {
    const auto error = error_of([&] { ExampleDataset(store, options, {}); });
    REQUIRE(error);
    return std::pair(error->status(), error->message());
  };
  CHECK(refused({}).second == "expected a sequence length of at least 1, seen 0");
  CHECK(refused({.sequence_length = 12, .layout = RowLayout::bucketed}).second ==
        "expected a sequence length that 8 parts divide (length buckets 3), seen 12");
  CHECK(refused({.sequence_length = 8, .layout = RowLayout::bucketed, .batch_size = 0}).first ==
        Status::invalid_argument);
  CHECK(
      refused({.sequence_length = 8, .layout = RowLayout::bucketed, .length_buckets = -1}).first ==
      Status::invalid_argument);
  CHECK(refused({.sequence_length = 8, .layout = static_cast<RowLayout>(3)}).first ==
        Status::invalid_argument);
  CHECK(refused({.sequence_length = 8, .long_examples = static_cast<LongExamples>(3)}).first ==
        Status::invalid_argument);
  ExampleStoreWriter writer(10);
  writer.add(std::vector<int32_t>{1, 2, 3, 4}, {});
  const auto long_example = writer.finish();
  const RowOptions skip{.sequence_length = 2, .long_examples = LongExamples::skip};
  CHECK(message_of([&] { ExampleDataset(long_example, skip, {}); }) ==
        "expected at least one example for sequences of 2 tokens, seen 1 of which 1 are too long "
        "and 0 have nothing left to learn");
  const ExampleDataset dataset(store, {.sequence_length = 8}, {});
  CHECK(error_of([&] { dataset.parts(dataset.count()); })->status() == Status::out_of_range);
  CHECK(error_of([&] { dataset.examples_of(-1); })->status() == Status::out_of_range);
}
