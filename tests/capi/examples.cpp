// Examples from files and memory, chat templates, and rows of examples.
#include "support.h"

#include <algorithm>
#include <numeric>

using namespace test;

namespace {

// Every turn on a line; the assistant's ends with <|eos|>.
constexpr const char* turns =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% if m.role == 'assistant' %}<|eos|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}";
constexpr const char* conversation =
    R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})";
constexpr const char* two_turns =
    R"({"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "one"},)"
    R"( {"role": "user", "content": "2"}, {"role": "assistant", "content": "two"}]})";

Tokenizer bytes() {
  anet_tokenizer* tokenizer = nullptr;
  must(anet_tokenizer_create_bytes, &tokenizer);
  return Tokenizer(tokenizer);
}

ChatTemplate parse(const char* text) {
  anet_chat_template* chat_template = nullptr;
  must(anet_chat_template_parse, text, "<|bos|>", "<|eos|>", &chat_template);
  return ChatTemplate(chat_template);
}

Examples open(const std::string& path, const anet_examples_options& options) {
  const Tokenizer tokenizer = bytes();
  anet_examples* examples = nullptr;
  must(anet_examples_open, path.c_str(), tokenizer.get(), &options, &examples);
  return Examples(examples);
}

// A sized string: the length first, then the text.
template <typename Call>
std::string text_of(Call call) {
  size_t length = 0;
  REQUIRE(call(nullptr, size_t{0}, &length).status == ANET_OK);
  std::string text(length + 1, '?');
  CHECK(call(text.data(), length, &length).status == ANET_E_OUT_OF_RANGE);
  REQUIRE(call(text.data(), text.size(), &length).status == ANET_OK);
  REQUIRE(text[length] == '\0');
  text.pop_back();
  return text;
}

std::string report_of(const Examples& examples) {
  return text_of([&](char* text, size_t capacity, size_t* length) {
    return attempt(anet_examples_get_report, examples.get(), text, capacity, length);
  });
}

struct Masked {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
};

Masked read(const Examples& examples, uint64_t index) {
  size_t count = 0;
  must(anet_examples_read, examples.get(), index, nullptr, nullptr, size_t{0}, &count);
  Masked result{std::vector<int32_t>(count), std::vector<uint8_t>(count)};
  must(anet_examples_read, examples.get(), index, result.ids.data(), result.mask.data(), count,
       &count);
  return result;
}

// The supervised tokens as text, eos as '$', others as '.'.
std::string supervised(const Masked& example) {
  std::string text;
  for (size_t i = 0; i < example.ids.size(); ++i)
    text += example.mask[i] == 0 ? '.' : example.ids[i] == 257 ? '$' : char(example.ids[i]);
  return text;
}

Dataset rows(const Examples& examples, const anet_rows_options& options) {
  anet_dataset* dataset = nullptr;
  must(anet_dataset_create_rows, examples.get(), &options, &dataset);
  return Dataset(dataset);
}

Examples create(const std::vector<uint64_t>& lengths) {
  std::vector<int32_t> ids(std::accumulate(lengths.begin(), lengths.end(), uint64_t{0}));
  std::iota(ids.begin(), ids.end(), 0);
  anet_examples* examples = nullptr;
  must(anet_examples_create, ids.data(), nullptr, lengths.data(), lengths.size(), 258, &examples);
  return Examples(examples);
}

} // namespace

TEST_CASE("a conversation is learned where the assistant speaks") {
  const Folder folder;
  write_file(folder.path("train.jsonl"),
             std::string(conversation) + "\n" + two_turns + "\n{\"nothing\": 1}\n");
  const ChatTemplate chat_template = parse(turns);
  auto options = initialised<anet_examples_options>();
  options.chat_template = chat_template.get();
  const Examples examples = open(folder.path(), options);
  REQUIRE(anet_examples_count(examples.get()) == 2);
  CHECK(supervised(read(examples, 0)) == "....................ho$.");
  CHECK(supervised(read(examples, 1)) == "...................one$....................two$.");
  const std::string report = report_of(examples);
  CHECK(report.find("\"unusable_rows\":1") != std::string::npos);
  CHECK(report.find("\"line\":3") != std::string::npos);

  options.supervision = ANET_SUPERVISE_LAST;
  const Examples last = open(folder.path(), options);
  CHECK(supervised(read(last, 1)) == "...........................................two$.");

  options.strict = 1;
  const Tokenizer tokenizer = bytes();
  anet_examples* refused = nullptr;
  const Outcome outcome =
      attempt(anet_examples_open, folder.path().c_str(), tokenizer.get(), &options, &refused);
  CHECK(outcome.status == ANET_E_INVALID_DATA);
  CHECK(outcome.says("3"));
}

TEST_CASE("parts of a folder are told apart, and a missing one is an error") {
  const Folder folder;
  write_file(folder.path("train.jsonl"), "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  write_file(folder.path("valid.jsonl"), "{\"text\": \"three\"}\n");
  auto options = initialised<anet_examples_options>();
  CHECK(anet_examples_count(open(folder.path(), options).get()) == 2);
  options.part = ANET_DATA_VALIDATION;
  CHECK(anet_examples_count(open(folder.path(), options).get()) == 1);
  options.part = ANET_DATA_TEST;
  const Tokenizer tokenizer = bytes();
  anet_examples* examples = nullptr;
  CHECK(attempt(anet_examples_open, folder.path().c_str(), tokenizer.get(), &options, &examples)
            .status == ANET_E_FILE_NOT_FOUND);
}

TEST_CASE("a progress callback can end the reading") {
  const Folder folder;
  write_file(folder.path("train.jsonl"), "{\"text\": \"one\"}\n");
  auto options = initialised<anet_examples_options>();
  options.progress = [](const anet_progress* progress, void*) {
    return progress->total > 0 ? 1 : 0;
  };
  const Tokenizer tokenizer = bytes();
  anet_examples* examples = nullptr;
  CHECK(attempt(anet_examples_open, folder.path().c_str(), tokenizer.get(), &options, &examples)
            .status == ANET_E_CANCELLED);
}

TEST_CASE("packed rows hold every token to learn once, with positions from 0") {
  const Examples examples = create({5, 3, 7, 2, 9, 4});
  auto options = initialised<anet_rows_options>();
  options.sequence_length = 8;
  options.layout = ANET_ROWS_PACKED;
  const Dataset dataset = rows(examples, options);
  const size_t count = anet_dataset_window_count(dataset.get());
  std::vector<int32_t> tokens(count * 8), targets(count * 8), positions(count * 8);
  int32_t parts = 0;
  must(anet_dataset_read, dataset.get(), uint64_t{0}, count, tokens.data(), targets.data(),
       positions.data(), &parts);
  CHECK(parts == 1);
  std::vector<int32_t> learned;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    learned.push_back(targets[i]);
    CHECK(targets[i] == tokens[i] + 1);
    CHECK((i % 8 == 0 || positions[i] == 0 || positions[i] == positions[i - 1] + 1));
  }
  std::sort(learned.begin(), learned.end());
  // All but the first token of each example.
  CHECK(learned == std::vector<int32_t>{1,  2,  3,  4,  6,  7,  9,  10, 11, 12, 13, 14,
                                        16, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29});
}

TEST_CASE("examples split, and rows cannot") {
  const Examples examples = create({4, 4, 4, 4});
  anet_examples* train = nullptr;
  anet_examples* validation = nullptr;
  must(anet_examples_split, examples.get(), 0.25, &train, &validation);
  const Examples first(train);
  const Examples second(validation);
  CHECK(anet_examples_count(first.get()) == 3);
  REQUIRE(anet_examples_count(second.get()) == 1);
  CHECK(read(second, 0).ids == std::vector<int32_t>{12, 13, 14, 15});

  auto options = initialised<anet_rows_options>();
  options.sequence_length = 4;
  const Dataset dataset = rows(examples, options);
  anet_dataset* a = nullptr;
  anet_dataset* b = nullptr;
  CHECK(attempt(anet_dataset_split, dataset.get(), 0.5, &a, &b).status == ANET_E_UNSUPPORTED);
}

TEST_CASE("examples from memory are checked") {
  const int32_t ids[] = {1, 2, 3, 300};
  const uint64_t lengths[] = {4};
  const uint64_t halves[] = {2, 2};
  anet_examples* examples = nullptr;
  const Outcome outcome =
      attempt(anet_examples_create, ids, nullptr, halves, size_t{2}, 258, &examples);
  CHECK(outcome.status == ANET_E_INVALID_DATA);
  CHECK(outcome.says("300 at position 1, in example 1"));
  const uint8_t nothing[] = {1, 0, 0, 0};
  CHECK(attempt(anet_examples_create, ids, nothing, lengths, size_t{1}, 400, &examples).status ==
        ANET_E_INVALID_DATA);
}

TEST_CASE("an example is described by the runs of its mask, also where it has a null character") {
  const int32_t ids[] = {0, 65, 66};
  const uint64_t lengths[] = {3};
  anet_examples* handle = nullptr;
  must(anet_examples_create, ids, nullptr, lengths, size_t{1}, 258, &handle);
  const Examples examples(handle);
  const Tokenizer tokenizer = bytes();
  char json[256] = {};
  size_t length = 0;
  must(anet_examples_describe, examples.get(), uint64_t{0}, tokenizer.get(), json, sizeof json,
       &length);
  CHECK(std::string(json) == "[{\"text\":\"\xef\xbf\xbd\",\"supervised\":false,\"tokens\":1},"
                             "{\"text\":\"AB\",\"supervised\":true,\"tokens\":2}]");
}

TEST_CASE("templates render, and say what is wrong") {
  const ChatTemplate chat_template = parse(turns);
  const auto render = [&](const char* messages, int32_t prompt) {
    return text_of([&, messages, prompt](char* text, size_t capacity, size_t* length) {
      return attempt(anet_chat_template_render, chat_template.get(), messages, nullptr, nullptr,
                     prompt, text, capacity, length);
    });
  };
  CHECK(render(R"([{"role": "user", "content": "hi"}])", 1) == "user: hi\nassistant: ");
  CHECK(render(R"([{"role": "user", "content": "hi"}])", 0) == "user: hi\n");

  anet_chat_template* made = nullptr;
  const Outcome broken = attempt(anet_chat_template_parse, "{% for x in y %}", "", "", &made);
  CHECK(broken.status == ANET_E_INVALID_CONFIG);
  CHECK(broken.line == 1);
  CHECK(attempt(anet_chat_template_built_in, "nobody", &made).status == ANET_E_NOT_FOUND);
  must(anet_chat_template_built_in, "chatml", &made);
  const ChatTemplate chatml(made);
  const std::string text = text_of([&](char* target, size_t capacity, size_t* length) {
    return attempt(anet_chat_template_render, chatml.get(),
                   R"([{"role": "user", "content": "hi"}])", nullptr, nullptr, int32_t{1}, target,
                   capacity, length);
  });
  CHECK(text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");

  const ChatTemplate dated = parse("{{ strftime_now('%d %b %Y') }}");
  CHECK(anet_chat_template_uses_date(dated.get()) == 1);
  CHECK(anet_chat_template_uses_date(chatml.get()) == 0);
  must(anet_chat_template_set_date, dated.get(), int64_t{86400 * 59});
  CHECK(text_of([&](char* target, size_t capacity, size_t* size) {
          return attempt(anet_chat_template_render, dated.get(), "[]", nullptr, nullptr, int32_t{0},
                         target, capacity, size);
        }) == "01 Mar 1970");
  CHECK(attempt(anet_chat_template_set_date, dated.get(), int64_t{-1}).status ==
        ANET_E_OUT_OF_RANGE);

  const ChatTemplate strict = parse("{{ raise_exception('no system turn, please') }}");
  size_t length = 0;
  const Outcome refused = attempt(anet_chat_template_render, strict.get(), "[]", nullptr, nullptr,
                                  int32_t{0}, nullptr, size_t{0}, &length);
  CHECK(refused.status == ANET_E_INVALID_DATA);
  CHECK(refused.says("no system turn, please"));
}

TEST_CASE("a decoder gives whole characters") {
  const Tokenizer tokenizer = bytes();
  anet_text_decoder* made = nullptr;
  must(anet_text_decoder_create, tokenizer.get(), &made);
  const TextDecoder decoder(made);
  const char* text = nullptr;
  size_t length = 99;
  must(anet_text_decoder_push, decoder.get(), 0xc3, &text, &length);
  CHECK(length == 0);
  must(anet_text_decoder_push, decoder.get(), 0xab, &text, &length);
  CHECK(std::string(text, length) == "\xc3\xab");
  must(anet_text_decoder_push, decoder.get(), 0xc3, &text, &length);
  must(anet_text_decoder_flush, decoder.get(), &text, &length);
  CHECK(std::string(text, length) == "\xEF\xBF\xBD");
}

TEST_CASE("packed documents train in a session that keeps them apart") {
  const Device device = open_device();
  const Model model = create_model();
  const Examples examples = create({9, 6, 12, 5, 16, 17, 8, 3});
  auto row_options = initialised<anet_rows_options>();
  row_options.sequence_length = sequence_length;
  row_options.layout = ANET_ROWS_PACKED;
  const Dataset dataset = rows(examples, row_options);
  auto fit = initialised<anet_fit_options>();
  fit.steps = 3;

  const Session plain = create_session(device.get(), model.get());
  const Outcome refused =
      attempt(anet_session_fit, plain.get(), dataset.get(), nullptr, &fit, nullptr);
  CHECK(refused.status != ANET_OK);
  CHECK(refused.says("documents"));

  const Model other = create_model();
  anet_session_options options = session_options();
  options.documents = 1;
  const Session session = create_session(device.get(), other.get(), options);
  auto result = initialised<anet_fit_result>();
  must(anet_session_fit, session.get(), dataset.get(), nullptr, &fit, &result);
  CHECK(result.step.step == 3);
  size_t count = 0;
  must(anet_session_score, session.get(), dataset.get(), uint64_t{0}, nullptr, size_t{0}, &count);
  CHECK(count == anet_examples_count(examples.get()));
  std::vector<anet_document_loss> losses(count);
  must(anet_session_score, session.get(), dataset.get(), uint64_t{0}, losses.data(), count, &count);
  double sum = 0;
  uint64_t tokens = 0;
  for (const anet_document_loss& loss : losses) {
    sum += loss.loss_sum;
    tokens += loss.tokens;
  }
  auto whole = initialised<anet_eval_result>();
  must(anet_session_evaluate, session.get(), dataset.get(), uint64_t{0}, &whole);
  CHECK(tokens == whole.tokens);
  CHECK(sum / static_cast<double>(tokens) == doctest::Approx(whole.loss).epsilon(1e-6));
}
