#include "capi/examples.h"

#include "capi/arguments.h"
#include "capi/chat_template.h"
#include "capi/dataset.h"
#include "capi/device.h"
#include "capi/guard.h"
#include "capi/progress.h"
#include "capi/structs.h"
#include "capi/tokenizer.h"
#include "io/dataset/example_slice.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace anet::capi {

namespace {

// Bytes from the caller; 0: `fallback`.
int64_t read_bytes(uint64_t value, int64_t fallback, const char* argument) {
  constexpr auto largest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (value > largest)
    fail(Status::unsupported_option, "expected ", argument, " up to ", largest, ", seen ", value);
  return value == 0 ? fallback : static_cast<int64_t>(value);
}

void read_name(const char* given, const char* argument, std::string& name) {
  if (given != nullptr) name = read_path(given, argument);
}

std::optional<bool> read_switch(anet_switch value, const char* argument) {
  if (check_enumerator(value, 0, 3, Status::unsupported_option, argument) == ANET_SWITCH_DEFAULT)
    return std::nullopt;
  return value == ANET_SWITCH_ON;
}

void read_names(const anet_examples_options& options, io::TextDatasetOptions& result) {
  read_name(options.text_key, "options.text_key", result.text_key);
  read_name(options.prompt_key, "options.prompt_key", result.prompt_key);
  read_name(options.completion_key, "options.completion_key", result.completion_key);
  read_name(options.messages_key, "options.messages_key", result.messages_key);
  read_name(options.tools_key, "options.tools_key", result.tools_key);
  read_name(options.document_separator, "options.document_separator", result.document_separator);
  read_name(options.temporary_directory, "options.temporary_directory",
            result.store.temporary_directory);
}

void read_limits(const anet_examples_options& options, io::TextDatasetOptions& result) {
  result.max_line_bytes =
      read_bytes(options.max_line_bytes, result.max_line_bytes, "options.max_line_bytes");
  result.store.memory_limit =
      read_bytes(options.memory_limit, result.store.memory_limit, "options.memory_limit");
  if (options.round_trips < 0)
    fail(Status::unsupported_option, "expected options.round_trips of at least 0, seen ",
         options.round_trips);
  result.round_trips = options.round_trips;
}

void read_template(const anet_examples_options& options, io::TextDatasetOptions& result) {
  if (options.chat_template != nullptr)
    result.chat_template =
        check_handle(options.chat_template, "options.chat_template").chat_template;
  if (options.template_variables != nullptr)
    result.template_variables =
        Json::parse(read_string(options.template_variables, "options.template_variables"),
                    "options.template_variables", Status::invalid_data);
  const auto stop_ids = read_array(options.stop_ids, options.stop_count, "options.stop_ids");
  result.stop_ids.assign(stop_ids.begin(), stop_ids.end());
}

io::TextDatasetOptions options_of(const anet_examples_options& options) {
  constexpr Status bad = Status::unsupported_option;
  io::TextDatasetOptions result;
  result.format =
      static_cast<io::DataFormat>(check_enumerator(options.format, 0, 4, bad, "options.format"));
  result.supervision = static_cast<io::Supervision>(
      check_enumerator(options.supervision, 0, 3, bad, "options.supervision"));
  result.strict = check_flag(options.strict, bad, "options.strict");
  result.parse_special = check_flag(options.parse_special, bad, "options.parse_special");
  result.add_bos = read_switch(options.add_bos, "options.add_bos");
  result.add_eos = read_switch(options.add_eos, "options.add_eos");
  result.token_format = token_format_of(options.token_bytes);
  read_template(options, result);
  read_names(options, result);
  read_limits(options, result);
  if (options.device != nullptr)
    result.threads = &check_handle(options.device, "options.device").device->thread_pool();
  if (options.progress != nullptr)
    result.progress = [reporter = ProgressReporter(options.progress, options.user_data)](
                          const io::DataProgress& progress) {
      return reporter.tell("data", static_cast<uint64_t>(progress.bytes_done),
                           static_cast<uint64_t>(progress.bytes_total));
    };
  return result;
}

std::vector<std::string> files_of(const std::string& path, anet_data_part part) {
  io::DataFiles files = io::find_data_files(path);
  switch (check_enumerator(part, 0, 3, Status::unsupported_option, "options.part")) {
  case ANET_DATA_VALIDATION:
    return std::move(files.validation);
  case ANET_DATA_TEST:
    return std::move(files.test);
  default:
    return std::move(files.train);
  }
}

std::unique_ptr<anet_examples> open(const std::string& path, const anet_tokenizer& tokenizer,
                                    const anet_examples_options& options) {
  static constexpr const char* part_names[] = {"training", "validation", "test"};
  const std::vector<std::string> files = files_of(path, options.part);
  if (files.empty())
    fail(Status::file_not_found, "expected a ", part_names[options.part], " part in ", path,
         ", seen none");
  return std::make_unique<anet_examples>(
      io::open_text_dataset(files, *tokenizer.tokenizer, options_of(options)));
}

std::unique_ptr<anet_examples> create(const int32_t* ids, const uint8_t* mask,
                                      std::span<const uint64_t> lengths, int32_t vocab_size) {
  io::ExampleStoreWriter writer(vocab_size);
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto size = static_cast<size_t>(lengths[i]);
    const auto supervised = mask == nullptr ? std::span<const uint8_t>() : std::span(mask, size);
    try {
      writer.add({&require(ids, "ids"), size}, supervised);
    } catch (const Error& error) {
      fail(error.status(), error.message(), ", in example ", i);
    }
    ids += size;
    if (mask != nullptr) mask += size;
  }
  return std::make_unique<anet_examples>(writer.finish());
}

std::unique_ptr<anet_examples> part_of(const anet_examples& whole, int64_t begin, int64_t end) {
  return std::make_unique<anet_examples>(io::slice_examples(*whole.data.examples, begin, end));
}

void split(const anet_examples& examples, double fraction, anet_examples*& train,
           anet_examples*& validation) {
  if (!(fraction > 0 && fraction < 1))
    fail(Status::invalid_argument, "expected a fraction above 0 and below 1, seen ", fraction);
  const int64_t count = examples.data.examples->count();
  if (count < 2) fail(Status::invalid_data, "expected at least 2 examples to split, seen ", count);
  const auto wanted = static_cast<int64_t>(static_cast<double>(count) * fraction);
  const int64_t boundary = count - std::clamp<int64_t>(wanted, 1, count - 1);
  auto train_part = part_of(examples, 0, boundary);
  validation = part_of(examples, boundary, count).release();
  train = train_part.release();
}

io::RowOptions row_options_of(const anet_rows_options& options) {
  constexpr Status bad = Status::unsupported_option;
  io::RowOptions result;
  result.sequence_length = options.sequence_length;
  result.layout =
      static_cast<io::RowLayout>(check_enumerator(options.layout, 0, 3, bad, "options.layout"));
  result.long_examples = static_cast<io::LongExamples>(
      check_enumerator(options.long_examples, 0, 3, bad, "options.long_examples"));
  const bool bucketed = result.layout == io::RowLayout::bucketed;
  if (bucketed && options.batch_size < 1)
    fail(Status::invalid_argument,
         "expected options.batch_size of at least 1 for bucketed rows, "
         "seen ",
         options.batch_size);
  if (!bucketed && (options.batch_size != 0 || options.length_buckets != 0))
    fail(bad, "expected options.batch_size and options.length_buckets only for bucketed rows");
  if (options.batch_size != 0) result.batch_size = options.batch_size;
  if (options.length_buckets != 0) result.length_buckets = options.length_buckets;
  return result;
}

std::unique_ptr<anet_dataset> create_rows(const anet_examples& examples,
                                          const anet_rows_options& options) {
  const bool sequential =
      check_flag(options.sequential, Status::unsupported_option, "options.sequential");
  return std::make_unique<anet_dataset>(std::make_shared<const io::ExampleDataset>(
      examples.data.examples, row_options_of(options),
      io::DatasetOrder{.shuffle = !sequential, .seed = options.seed}));
}

int64_t read_index(const anet_examples& examples, uint64_t index) {
  check_index(index, static_cast<size_t>(examples.data.examples->count()), "example");
  return static_cast<int64_t>(index);
}

void read_example(const anet_examples& examples, uint64_t index, int32_t* ids, uint8_t* mask,
                  size_t capacity, size_t* count) {
  const auto example = examples.data.examples->example(read_index(examples, index));
  if (!check_capacity(example.size(), ids, capacity, count, "ids")) return;
  for (size_t i = 0; i < example.size(); ++i) {
    ids[i] = example[i].id();
    if (mask != nullptr) mask[i] = example[i].supervised() ? 1 : 0;
  }
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_examples_open(const char* path, const anet_tokenizer* tokenizer,
                               const anet_examples_options* options, anet_examples** examples,
                               anet_error** error) {
  return guard_create(examples, "examples", error, [&] {
    const anet_tokenizer& handle = check_handle(tokenizer, "tokenizer");
    return open(read_path(path, "path"), handle, read_optional_struct(options, "options"));
  });
}

anet_status anet_examples_create(const int32_t* ids, const uint8_t* mask, const uint64_t* lengths,
                                 size_t count, int32_t vocab_size, anet_examples** examples,
                                 anet_error** error) {
  return guard_create(examples, "examples", error, [&] {
    return create(ids, mask, read_array(lengths, count, "lengths"), vocab_size);
  });
}

anet_status anet_examples_split(const anet_examples* examples, double fraction,
                                anet_examples** train, anet_examples** validation,
                                anet_error** error) {
  if (train != nullptr) *train = nullptr;
  if (validation != nullptr) *validation = nullptr;
  return guard(error, [&] {
    split(check_handle(examples, "examples"), fraction, require(train, "train"),
          require(validation, "validation"));
  });
}

uint64_t anet_examples_count(const anet_examples* examples) {
  return is_valid(examples) ? static_cast<uint64_t>(examples->data.examples->count()) : 0;
}

uint64_t anet_examples_token_count(const anet_examples* examples) {
  return is_valid(examples) ? static_cast<uint64_t>(examples->data.examples->tokens()) : 0;
}

anet_status anet_examples_read(const anet_examples* examples, uint64_t index, int32_t* ids,
                               uint8_t* mask, size_t capacity, size_t* count, anet_error** error) {
  return guard(error, [&] {
    require(count, "count");
    read_example(check_handle(examples, "examples"), index, ids, mask, capacity, count);
  });
}

anet_status anet_examples_describe(const anet_examples* examples, uint64_t index,
                                   const anet_tokenizer* tokenizer, char* json, size_t capacity,
                                   size_t* length, anet_error** error) {
  return guard(error, [&] {
    const anet_examples& handle = check_handle(examples, "examples");
    const anet_tokenizer& text = check_handle(tokenizer, "tokenizer");
    require(length, "length");
    const anet::Json runs =
        describe_example(*handle.data.examples, read_index(handle, index), *text.tokenizer);
    copy_string(runs.to_string(), json, capacity, length, "json");
  });
}

anet_status anet_examples_get_report(const anet_examples* examples, char* json, size_t capacity,
                                     size_t* length, anet_error** error) {
  return guard(error, [&] {
    const anet_examples& handle = check_handle(examples, "examples");
    require(length, "length");
    copy_string(examples_report(handle).to_string(), json, capacity, length, "json");
  });
}

void anet_examples_retain(anet_examples* examples) { retain_handle(examples); }

void anet_examples_release(anet_examples* examples) { release_handle(examples); }

anet_status anet_dataset_create_rows(const anet_examples* examples,
                                     const anet_rows_options* options, anet_dataset** dataset,
                                     anet_error** error) {
  return guard_create(dataset, "dataset", error, [&] {
    const anet_examples& handle = check_handle(examples, "examples");
    return create_rows(handle, read_struct(options, "options"));
  });
}

anet_status anet_dataset_get_report(const anet_dataset* dataset, char* json, size_t capacity,
                                    size_t* length, anet_error** error) {
  return guard(error, [&] {
    const anet_dataset& handle = check_handle(dataset, "dataset");
    require(length, "length");
    const anet::Json report =
        handle.examples ? rows_report(*handle.examples) : anet::Json::object();
    copy_string(report.to_string(), json, capacity, length, "json");
  });
}
