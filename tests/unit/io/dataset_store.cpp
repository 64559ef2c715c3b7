// Examples in memory and in a temporary file.
#include "io/dataset/example_store.h"

#include "io/dataset/dataset.h"
#include "test_files.h"

#include <cerrno>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::io;
using namespace anet::test;

namespace {

struct Example {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
};

// Example i has 2 + i % 7 tokens of its own, and learns every second of them.
std::vector<Example> make_examples(int32_t count) {
  std::vector<Example> examples;
  int32_t id = 0;
  for (int32_t i = 0; i < count; ++i) {
    Example example;
    for (int32_t t = 0; t < 2 + i % 7; ++t) {
      example.ids.push_back(id++);
      example.mask.push_back(static_cast<uint8_t>(t % 2));
    }
    examples.push_back(example);
  }
  return examples;
}

std::shared_ptr<const ExampleStore> store_of(const std::vector<Example>& examples,
                                             const ExampleStoreOptions& options = {},
                                             FileSystem& files = FileSystem::real()) {
  ExampleStoreWriter writer(1 << 20, options, files);
  for (size_t i = 0; i < examples.size(); ++i)
    writer.add(examples[i].ids, examples[i].mask, {3, static_cast<uint32_t>(i + 1)});
  return writer.finish();
}

void check_equal(const ExampleStore& store, const std::vector<Example>& examples) {
  REQUIRE(store.count() == static_cast<int64_t>(examples.size()));
  int64_t tokens = 0;
  int64_t targets = 0;
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const std::span<const StoredToken> stored = store.example(index);
    Example seen;
    for (const StoredToken token : stored) {
      seen.ids.push_back(token.id());
      seen.mask.push_back(token.supervised() ? 1 : 0);
    }
    CHECK(seen.ids == examples[i].ids);
    CHECK(seen.mask == examples[i].mask);
    CHECK(store.length(index) == static_cast<int64_t>(examples[i].ids.size()));
    CHECK(store.origin(index).file == 3);
    CHECK(store.origin(index).line == i + 1);
    tokens += store.length(index);
    targets += std::count(seen.mask.begin(), seen.mask.end(), 1);
  }
  CHECK(store.tokens() == tokens);
  CHECK(store.supervised_tokens() == targets);
}

} // namespace

TEST_CASE("examples come back as they went in, from memory and from a file") {
  const TemporaryDirectory root;
  const std::vector<Example> examples = make_examples(1000);
  const auto in_memory = store_of(examples);
  CHECK(in_memory->in_memory());
  check_equal(*in_memory, examples);
  // 4 bytes a token, 16 an example: the limit is met in the middle, at once, or by the last one.
  const int64_t all = in_memory->tokens() * 4 + 1000 * 16;
  for (const int64_t limit : {int64_t{0}, int64_t{1}, all / 2, all - 1}) {
    const auto in_file = store_of(examples, {limit, root.path()});
    CHECK_FALSE(in_file->in_memory());
    CHECK(root.names().empty()); // it has no name
    check_equal(*in_file, examples);
    CHECK(in_file->fingerprint() == in_memory->fingerprint());
  }
  CHECK(store_of(examples, {all, root.path()})->in_memory());
}

TEST_CASE("a store that is larger than its buffers") {
  const TemporaryDirectory root;
  std::vector<Example> examples = make_examples(20000);
  examples[500].ids.assign(1'000'000, 7); // 4 MB in one example
  examples[500].mask.assign(1'000'000, 1);
  examples[500].mask[0] = 0;
  check_equal(*store_of(examples, {100'000, root.path()}), examples);
}

TEST_CASE("what decides an example decides the fingerprint") {
  const std::vector<Example> examples = make_examples(5);
  const std::string fingerprint = store_of(examples)->fingerprint();
  CHECK(fingerprint.size() == 64);
  CHECK(store_of(examples)->fingerprint() == fingerprint);
  auto changed = examples;
  changed[4].ids[0] += 1;
  CHECK(store_of(changed)->fingerprint() != fingerprint);
  changed = examples;
  changed[4].mask[2] ^= 1;
  CHECK(store_of(changed)->fingerprint() != fingerprint);
  changed = examples;
  std::swap(changed[0], changed[1]);
  CHECK(store_of(changed)->fingerprint() != fingerprint);
  // The same tokens with another boundary.
  const std::vector<Example> two = {{{1, 2, 3}, {0, 1, 0}}, {{4, 5, 6}, {0, 1, 1}}};
  const std::vector<Example> other = {{{1, 2}, {0, 1}}, {{3, 4, 5, 6}, {0, 0, 1, 1}}};
  CHECK(store_of(two)->fingerprint() != store_of(other)->fingerprint());
}

TEST_CASE("examples that teach nothing are refused and leave nothing behind") {
  ExampleStoreWriter writer(10);
  const auto refuse = [&](std::vector<int32_t> ids, std::vector<uint8_t> mask) {
    const auto error = error_of([&] { writer.add(ids, mask); });
    REQUIRE(error);
    CHECK(error->status() == Status::invalid_data);
    return error->message();
  };
  CHECK(refuse({}, {}) == "expected at least 2 tokens to learn from, seen 0");
  CHECK(refuse({1}, {}) == "expected at least 2 tokens to learn from, seen 1");
  CHECK(refuse({1, 2, 3}, {0, 0, 0}) == "supervises 0 of 3 tokens");
  CHECK(refuse({1, 2, 3}, {1, 0, 0}) == "supervises 0 of 3 tokens");
  CHECK(refuse({1, 2, 3}, {0, 1}) == "expected a mask of 3 values, one a token, seen 2");
  CHECK(refuse({1, 2, 3}, {0, 1, 2}) == "expected a mask of 0 and 1, seen 2 at position 2");
  CHECK(refuse({1, 10, 3}, {}) == "expected token ids below 10, seen 10 at position 1");
  CHECK(refuse({1, 2, -3}, {}) == "expected token ids below 10, seen -3 at position 2");
  CHECK(writer.count() == 0);
  CHECK(writer.tokens() == 0);
  writer.add(std::vector<int32_t>{1, 2}, {});
  const auto store = writer.finish();
  CHECK(store->count() == 1);
  CHECK(store->supervised_tokens() == 1);
  CHECK_FALSE(store->example(0)[0].supervised()); // nothing comes before it
  CHECK(error_of([&] { store->example(1); })->status() == Status::out_of_range);
  CHECK(error_of([&] { store->origin(-1); })->status() == Status::out_of_range);
  CHECK(writer.count() == 0); // and can be used again
  writer.add(std::vector<int32_t>{3, 4, 5}, {});
  CHECK(writer.finish()->tokens() == 3);
}

TEST_CASE("every failing call of the temporary file is an error, none leaks") {
  const TemporaryDirectory root;
  const std::vector<Example> examples = make_examples(300);
  const std::string expected = store_of(examples)->fingerprint();
  int64_t failures = 0;
  for (int64_t fail_at = 0;; ++fail_at) {
    REQUIRE(fail_at < 1000);
    FaultyFileSystem files;
    files.fail_at = fail_at;
    files.error = ENOSPC;
    std::string fingerprint;
    const auto error = error_of([&] {
      fingerprint = store_of(examples, {64, root.path()}, files)->fingerprint();
    });
    CHECK(files.open_files == 0);
    CHECK(root.names().empty());
    if (error) {
      ++failures;
      CHECK(error->status() == Status::disk_full);
    } else {
      CHECK(fingerprint == expected);
    }
    if (!files.failed) break;
  }
  CHECK(failures >= 6); // for each of two files: open, write, map
  FaultyFileSystem slow;
  slow.short_and_interrupted = true;
  CHECK(store_of(examples, {64, root.path()}, slow)->fingerprint() == expected);
}

TEST_CASE("a directory for temporary files that is not there is named") {
  const auto error = error_of([] { store_of(make_examples(3), {0, "/nonexistent/place"}); });
  REQUIRE(error);
  CHECK(error->status() == Status::file_not_found);
  CHECK(error->message().find("/nonexistent/place") != std::string::npos);
}

TEST_CASE("examples as a stream of tokens") {
  ExampleStoreWriter writer(100);
  writer.add(std::vector<int32_t>{1, 2, 3}, {});
  writer.add(std::vector<int32_t>{4, 5}, {});
  const auto tokens = token_stream(writer.finish());
  REQUIRE(tokens->size() == 5);
  const WindowDataset windows(tokens, {0, 5}, 2, {.shuffle = false});
  CHECK(windows.batch(0, 2).inputs == std::vector<int32_t>{1, 2, 3, 4});
  CHECK(windows.batch(0, 2).targets == std::vector<int32_t>{2, 3, 4, 5});
  std::vector<int32_t> ids(2);
  CHECK(error_of([&] { tokens->read(4, ids); })->status() == Status::out_of_range);
  CHECK(error_of([&] { tokens->read(-1, ids); })->status() == Status::out_of_range);
  // A file or an array of the same tokens is the same data.
  const auto array = std::make_shared<TokenArray>(std::vector<int32_t>{1, 2, 3, 4, 5}, 100);
  const WindowDataset same(array, {0, 5}, 2, {.shuffle = false});
  CHECK(windows.fingerprint() == same.fingerprint());
  CHECK(WindowDataset(array, {0, 5}, 2, {.seed = 1}).fingerprint() !=
        WindowDataset(array, {0, 5}, 2, {.seed = 2}).fingerprint());
  CHECK(WindowDataset(array, {0, 5}, 3, {}).fingerprint() !=
        WindowDataset(array, {0, 5}, 2, {}).fingerprint());
  CHECK(WindowDataset(array, {0, 4}, 2, {}).fingerprint() !=
        WindowDataset(array, {1, 5}, 2, {}).fingerprint());

  writer.add(std::vector<int32_t>{1, 2, 3}, std::vector<uint8_t>{0, 0, 1});
  CHECK(message_of([&] { token_stream(writer.finish()); }) ==
        "expected examples without a mask for windows, seen 1 tokens that are not to be learned");
}
