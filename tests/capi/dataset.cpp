#include "support.h"

#include <algorithm>
#include <numeric>

using namespace test;

namespace {

anet_dataset_options dataset_options() {
  auto options = initialised<anet_dataset_options>();
  options.sequence_length = 4;
  options.vocab_size = 258;
  options.sequential = 1;
  return options;
}

std::vector<int32_t> counting(int32_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

Outcome create_outcome(const std::vector<int32_t>& ids, const anet_dataset_options& options) {
  anet_dataset* dataset = nullptr;
  const Outcome outcome =
      attempt(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &dataset);
  CHECK((dataset != nullptr) == (outcome.status == ANET_OK));
  anet_dataset_release(dataset);
  return outcome;
}

Outcome open_outcome(const std::string& path, const anet_dataset_options& options) {
  anet_dataset* dataset = nullptr;
  const Outcome outcome = attempt(anet_dataset_open_tokens, path.c_str(), &options, &dataset);
  CHECK((dataset != nullptr) == (outcome.status == ANET_OK));
  anet_dataset_release(dataset);
  return outcome;
}

Dataset open(const std::string& path, const anet_dataset_options& options) {
  anet_dataset* dataset = nullptr;
  must(anet_dataset_open_tokens, path.c_str(), &options, &dataset);
  return Dataset(dataset);
}

struct Windows {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
};

Windows read(const anet_dataset* dataset, uint64_t first, size_t count) {
  const size_t size = count * static_cast<size_t>(anet_dataset_sequence_length(dataset));
  Windows windows{std::vector<int32_t>(size), std::vector<int32_t>(size)};
  must(anet_dataset_read, dataset, first, count, windows.tokens.data(), windows.targets.data(),
       nullptr, nullptr);
  return windows;
}

} // namespace

TEST_CASE("windows follow each other and targets are shifted by one") {
  anet_dataset* handle = nullptr;
  const anet_dataset_options options = dataset_options();
  const std::vector<int32_t> ids = counting(10);
  must(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &handle);
  const Dataset dataset(handle);
  CHECK(anet_dataset_sequence_length(dataset.get()) == 4);
  REQUIRE(anet_dataset_window_count(dataset.get()) == 2); // 9 targets
  const Windows windows = read(dataset.get(), 0, 3);
  // The third window begins the next epoch.
  CHECK(windows.tokens == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3});
  CHECK(windows.targets == std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4});
}

TEST_CASE("a shuffle visits every window once an epoch and can be entered anywhere") {
  anet_dataset_options options = dataset_options();
  options.sequential = 0;
  options.seed = 11;
  const std::vector<int32_t> ids = counting(41); // 10 windows, which begin at 0, 4, 8, ...
  anet_dataset* handle = nullptr;
  must(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &handle);
  const Dataset dataset(handle);
  const Windows all = read(dataset.get(), 0, 20);
  std::vector<std::vector<int32_t>> epochs(2);
  for (size_t i = 0; i < 20; ++i) epochs[i / 10].push_back(all.tokens[i * 4]);
  CHECK(epochs[0] != epochs[1]);
  for (std::vector<int32_t>& begins : epochs) {
    std::sort(begins.begin(), begins.end());
    for (int32_t i = 0; i < 10; ++i) CHECK(begins[static_cast<size_t>(i)] == 4 * i);
  }
  for (uint64_t first : {uint64_t{3}, uint64_t{13}}) {
    const Windows one = read(dataset.get(), first, 1);
    CHECK(std::equal(one.tokens.begin(), one.tokens.end(),
                     all.tokens.begin() + static_cast<ptrdiff_t>(first * 4)));
  }
  options.seed = 12;
  must(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &handle);
  const Dataset other(handle);
  CHECK(read(other.get(), 0, 20).tokens != all.tokens);
}

TEST_CASE("reading checks its arguments") {
  const Dataset dataset = create_dataset(token_stream(100));
  int32_t ids[sequence_length];
  must(anet_dataset_read, dataset.get(), uint64_t{0}, size_t{0}, nullptr, nullptr, nullptr,
       nullptr);
  CHECK(attempt(anet_dataset_read, dataset.get(), uint64_t{0}, size_t{1}, ids, nullptr, nullptr,
                nullptr)
            .status == ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_dataset_read, dataset.get(), UINT64_MAX, size_t{1}, ids, ids, nullptr, nullptr)
            .status == ANET_E_OUT_OF_RANGE);
}

TEST_CASE("too few tokens say how many are needed") {
  for (int32_t count : {0, 1, 4}) {
    const Outcome outcome = create_outcome(counting(count), dataset_options());
    CHECK(outcome.status == ANET_E_INVALID_DATA);
    CHECK(outcome.says("5"));
  }
  CHECK(create_outcome(counting(5), dataset_options()).status == ANET_OK);
}

TEST_CASE("a bad id is named with its position") {
  std::vector<int32_t> ids = counting(10);
  for (int32_t bad : {258, -1}) {
    ids[7] = bad;
    const Outcome outcome = create_outcome(ids, dataset_options());
    CHECK(outcome.status == ANET_E_INVALID_DATA);
    CHECK(outcome.says("position 7"));
    CHECK(outcome.says(std::to_string(bad)));
  }
}

TEST_CASE("options that cannot be honoured are refused") {
  const std::vector<int32_t> ids = counting(10);
  anet_dataset_options options = dataset_options();
  options.sequence_length = 0;
  CHECK(create_outcome(ids, options).status == ANET_E_INVALID_ARGUMENT);
  options = dataset_options();
  options.vocab_size = 0;
  CHECK(create_outcome(ids, options).status == ANET_E_INVALID_ARGUMENT);
  options = dataset_options();
  options.token_bytes = 2; // not a file
  CHECK(create_outcome(ids, options).status == ANET_E_UNSUPPORTED_OPTION);
  options = dataset_options();
  options.sequential = 2;
  CHECK(create_outcome(ids, options).status == ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("token files of either width, bare or with a header") {
  const Folder folder;
  const std::vector<int32_t> ids = counting(9);
  const std::vector<uint16_t> narrow(ids.begin(), ids.end());
  const std::vector<uint32_t> wide(ids.begin(), ids.end());
  std::vector<int32_t> header(256, 0);
  header[0] = 20240520;
  header[1] = 1;
  header[2] = 9;
  write_file(folder.path("narrow"), bytes_of(narrow));
  write_file(folder.path("wide"), bytes_of(wide));
  write_file(folder.path("headed"), bytes_of(header) + bytes_of(narrow));

  anet_dataset_options options = dataset_options();
  const auto tokens = [&](const char* name) {
    return read(open(folder.path(name), options).get(), 0, 2).tokens;
  };
  const std::vector<int32_t> expected = {0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(tokens("narrow") == expected);
  CHECK(tokens("headed") == expected);
  options.token_bytes = 2;
  CHECK(tokens("narrow") == expected);
  CHECK(tokens("headed") == expected);
  options.token_bytes = 4;
  CHECK(tokens("wide") == expected);
  CHECK(tokens("headed") == expected); // the header knows better
  // A vocabulary past 65536 means wide tokens, unless the caller says otherwise.
  options.vocab_size = 100000;
  options.token_bytes = 0;
  CHECK(tokens("wide") == expected);
  options.token_bytes = 2;
  CHECK(tokens("narrow") == expected);
  options.token_bytes = 3;
  CHECK(open_outcome(folder.path("wide"), options).status == ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("bad token files") {
  const Folder folder;
  const anet_dataset_options options = dataset_options();
  const Outcome missing = open_outcome(folder.path("missing"), options);
  CHECK(missing.status == ANET_E_FILE_NOT_FOUND);
  CHECK(missing.domain == "errno");
  write_file(folder.path("empty"), "");
  CHECK(open_outcome(folder.path("empty"), options).status == ANET_E_INVALID_DATA);
  write_file(folder.path("odd"), std::string(21, '\0'));
  CHECK(open_outcome(folder.path("odd"), options).status == ANET_E_INVALID_DATA);
  write_file(folder.path("short"), std::string(8, '\0'));
  CHECK(open_outcome(folder.path("short"), options).says("5"));
  std::vector<uint16_t> ids(20, 3);
  ids[13] = 258;
  write_file(folder.path("bad"), bytes_of(ids));
  const Outcome bad = open_outcome(folder.path("bad"), options);
  CHECK(bad.status == ANET_E_INVALID_DATA);
  CHECK(bad.says("position 13"));
  // A header that promises more than there is.
  std::vector<int32_t> header(256, 0);
  header[0] = 20240520;
  header[1] = 1;
  header[2] = 100;
  write_file(folder.path("lying"), bytes_of(header) + std::string(40, '\0'));
  CHECK(open_outcome(folder.path("lying"), options).status == ANET_E_INVALID_DATA);
  CHECK(open_outcome(folder.path(), options).status == ANET_E_INVALID_ARGUMENT); // a folder
}

TEST_CASE("text goes through a tokenizer") {
  const Folder folder;
  write_file(folder.path("text"), "abcdefghi");
  anet_tokenizer* tokenizer_handle = nullptr;
  must(anet_tokenizer_create_bytes, &tokenizer_handle);
  const Tokenizer tokenizer(tokenizer_handle);
  anet_dataset_options options = dataset_options();
  options.vocab_size = 0; // the tokenizer's
  anet_dataset* handle = nullptr;
  must(anet_dataset_open_text, folder.path("text").c_str(), tokenizer.get(), &options, &handle);
  const Dataset dataset(handle);
  CHECK(read(dataset.get(), 1, 1).tokens == std::vector<int32_t>{'e', 'f', 'g', 'h'});

  const auto status = [&](const char* name) {
    anet_dataset* none = nullptr;
    return attempt(anet_dataset_open_text, folder.path(name).c_str(), tokenizer.get(), &options,
                   &none)
        .status;
  };
  CHECK(status("missing") == ANET_E_FILE_NOT_FOUND);
  write_file(folder.path("empty"), "");
  CHECK(status("empty") == ANET_E_INVALID_DATA);
  options.vocab_size = 100; // 'i' is 105
  CHECK(status("text") == ANET_E_INVALID_DATA);
  options.vocab_size = 0;
  options.token_bytes = 2;
  CHECK(status("text") == ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("a split has no token in common and keeps its parent's tokens") {
  anet_dataset* handle = nullptr;
  const anet_dataset_options options = dataset_options();
  const std::vector<int32_t> ids = counting(100);
  must(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &handle);
  Dataset whole(handle);
  anet_dataset* train_handle = nullptr;
  anet_dataset* validation_handle = nullptr;
  must(anet_dataset_split, whole.get(), 0.2, &train_handle, &validation_handle);
  const Dataset train(train_handle);
  const Dataset validation(validation_handle);
  whole.reset();
  CHECK(anet_dataset_window_count(train.get()) == 19);     // 80 tokens
  CHECK(anet_dataset_window_count(validation.get()) == 4); // 20 tokens
  CHECK(read(validation.get(), 0, 1).tokens == std::vector<int32_t>{80, 81, 82, 83});
  const Windows all = read(train.get(), 0, 19);
  CHECK(*std::max_element(all.targets.begin(), all.targets.end()) < 80);

  // A part can be split again.
  must(anet_dataset_split, validation.get(), 0.5, &train_handle, &validation_handle);
  const Dataset inner_train(train_handle);
  const Dataset inner_validation(validation_handle);
  CHECK(read(inner_validation.get(), 0, 1).tokens.front() == 90);
}

TEST_CASE("a split that leaves no window is refused") {
  anet_dataset* handle = nullptr;
  const anet_dataset_options options = dataset_options();
  const std::vector<int32_t> ids = counting(9);
  must(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &handle);
  const Dataset dataset(handle);
  anet_dataset* train = nullptr;
  anet_dataset* validation = nullptr;
  CHECK(attempt(anet_dataset_split, dataset.get(), 0.5, &train, &validation).status ==
        ANET_E_INVALID_DATA);
  for (double fraction : {0.0, 1.0, -0.5, 2.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK(attempt(anet_dataset_split, dataset.get(), fraction, &train, &validation).status ==
          ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_dataset_split, dataset.get(), 0.5, nullptr, &validation).status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(train == nullptr);
  CHECK(validation == nullptr);
}
