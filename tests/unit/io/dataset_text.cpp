// Files of text data: tests/golden/dataset/make_dataset.py says what their rows are.
#include "io/dataset/text_dataset.h"

#include "base/json.h"
#include "io/tokenizer/byte_tokenizer.h"
#include "test_files.h"

#include <doctest/doctest.h>
#include <map>

using namespace anet;
using namespace anet::io;
using namespace anet::test;

namespace {

constexpr int32_t eos = ByteTokenizer::eos;

TextDataset open(const std::vector<std::string>& paths, const TextDatasetOptions& options = {}) {
  return open_text_dataset(paths, ByteTokenizer(), options);
}

TextDataset open_text(const std::string& name, const std::string& content,
                      const TextDatasetOptions& options = {}) {
  const TemporaryDirectory root;
  put(root / name, content);
  return open({root / name}, options);
}

MaskedTokens example_of(const ExampleStore& store, int64_t index) {
  MaskedTokens tokens;
  for (const StoredToken token : store.example(index)) {
    tokens.ids.push_back(token.id());
    tokens.supervised.push_back(token.supervised() ? 1 : 0);
  }
  return tokens;
}

// The bytes of an example, and '|' for the end of text.
std::string text_of(const ExampleStore& store, int64_t index) {
  std::string text;
  for (const StoredToken token : store.example(index))
    text += token.id() == eos ? '|' : static_cast<char>(token.id());
  return text;
}

std::vector<std::string> texts_of(const ExampleStore& store) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < store.count(); ++i) texts.push_back(text_of(store, i));
  return texts;
}

const std::map<std::string, RowProblem> problems = {
    {"blank", RowProblem::blank},
    {"invalid_text", RowProblem::invalid_text},
    {"invalid_json", RowProblem::invalid_json},
    {"unknown_record", RowProblem::unknown_record},
    {"invalid_field", RowProblem::invalid_field},
    {"invalid_token", RowProblem::invalid_token},
    {"chat_template", RowProblem::chat_template},
    {"nothing_to_learn", RowProblem::nothing_to_learn},
};

} // namespace

TEST_CASE("records and their masks equal those of an independent implementation") {
  const Json json = Json::parse(get("tests/golden/dataset/records.json"), "records.json");
  const JsonView expected(json);
  const TextDataset data = open({"tests/golden/dataset/records.jsonl"});
  int64_t example = 0;
  size_t unusable = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const JsonView row = expected.at(i);
    const int64_t line = row.at("line").integer();
    CAPTURE(line);
    if (const auto problem = row.find("problem")) {
      REQUIRE(unusable < data.report.unusable.size());
      const UnusableRow& seen = data.report.unusable[unusable++];
      CHECK(seen.place.line == line);
      CHECK(seen.place.file == "tests/golden/dataset/records.jsonl");
      CHECK(row_problem_name(seen.problem) ==
            std::string(row_problem_name(problems.at(problem->string()))));
      CHECK_FALSE(seen.message.empty());
      continue;
    }
    REQUIRE(example < data.examples->count());
    CHECK(data.examples->origin(example).line == line);
    const MaskedTokens tokens = example_of(*data.examples, example++);
    const std::vector<int64_t> ids = row.at("ids").integers();
    const std::vector<int64_t> mask = row.at("mask").integers();
    CHECK(tokens.ids == std::vector<int32_t>(ids.begin(), ids.end()));
    CHECK(tokens.supervised == std::vector<uint8_t>(mask.begin(), mask.end()));
  }
  CHECK(example == data.examples->count());
  CHECK(unusable == data.report.unusable.size());
  CHECK(data.report.rows == static_cast<int64_t>(expected.size()));
  CHECK(data.report.examples == example);
  CHECK(data.report.unusable_rows() == static_cast<int64_t>(unusable));
  CHECK(data.report.kinds[static_cast<size_t>(RecordKind::text)] == 4);
  CHECK(data.report.kinds[static_cast<size_t>(RecordKind::completion)] == 3);
  CHECK(data.report.kinds[static_cast<size_t>(RecordKind::tokens)] == 2);
  CHECK(data.report.ends_with_stop == 8); // not {"ids": [5, 6]}
}

TEST_CASE("messages say where, what was expected and what was seen") {
  const auto message = [](const std::string& line) {
    TextDatasetOptions options;
    const TextDataset data = open_text("d.jsonl",
                                       R"({"text": "ok"})"
                                       "\n" +
                                           line + "\n",
                                       options);
    REQUIRE(data.report.unusable.size() == 1);
    CHECK(data.report.unusable[0].place.line == 2);
    return data.report.unusable[0].message;
  };
  CHECK(message(R"({"text": 3})") == "expected a string at 'text', seen a number");
  CHECK(message(R"({"text": "a})") == "column 10: string without its closing quote");
  CHECK(message(R"({"a": 1, "b": 2})") == "expected a key 'text', 'messages', 'ids', or 'prompt' "
                                          "and 'completion', seen 'a', 'b'");
  CHECK(message(R"(["text"])") == "expected an object, seen an array");
  CHECK(message(R"({"ids": [1, 2, 300]})") ==
        "expected an integer from 0 to 257 at 'ids[2]', seen 300");
  CHECK(message(R"({"ids": [1, 2], "mask": [0]})") ==
        "expected a mask of 2 values, one a token, seen 1");
  CHECK(message(R"({"ids": [1, 2, 3], "mask": [1, 0, 0]})") == "supervises 0 of 3 tokens");
  CHECK(message(R"({"messages": [{"role": "user", "content": "x"}]})") ==
        "messages need a chat template, seen none");
  CHECK(message(R"({"messages": [{"role": 1}]})") ==
        "expected a string at 'messages[0].role', seen a number");
  CHECK(message("{\"text\": \"\xC3\"}") == "invalid UTF-8 at byte 10");
  CHECK(message(R"({"prompt": {}, "completion": "b"})") ==
        "expected a string or a list of messages, seen an object at 'prompt'");
  // A hostile key is not printed as a whole, and many are not printed at all.
  CHECK(message("{\"" + std::string(100000, 'k') + "\": 1}").size() < 250);
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) many += concat(i == 0 ? "" : ",", "\"k", i, "\": 1");
  CHECK(message(many + "}").ends_with("'k7' and 992 more"));
}

TEST_CASE("strict data ends at its first unusable row") {
  const TemporaryDirectory root;
  put(root / "a.jsonl", "{\"text\": \"ok\"}\n{\"text\": \"ok\"}\n{\"texT\": 1}\nnonsense\n");
  TextDatasetOptions options;
  options.strict = true;
  const auto error = error_of([&] { open({root / "a.jsonl"}, options); });
  REQUIRE(error);
  CHECK(error->status() == Status::invalid_data);
  CHECK(error->message() == concat(root / "a.jsonl", " line 3: expected a key 'text', 'messages', ",
                                   "'ids', or 'prompt' and 'completion', seen 'texT'"));
  CHECK(error->detail().line == 3);
  CHECK(error->detail().domain == "data");
  put(root / "b.jsonl", "{\"text\": \"ok\"}\n\n\n");
  CHECK(open({root / "b.jsonl"}, options).examples->count() == 1); // blank lines at the end
  put(root / "b.jsonl", "{\"text\": \"ok\"}\n\n{\"text\": \"ok\"}\n");
  CHECK(error_of([&] { open({root / "b.jsonl"}, options); })->detail().line == 2);
}

TEST_CASE("the report keeps the first problems and counts all") {
  std::string text = "{\"text\": \"ok\"}\n";
  for (int i = 0; i < 50; ++i) text += "x\n";
  text += std::string(30, '\n') + "{\"text\": \"ok\"}\n";
  TextDatasetOptions options;
  options.max_reported = 7;
  const TextDataset data = open_text("d.jsonl", text, options);
  CHECK(data.report.rows == 82);
  CHECK(data.report.examples == 2);
  CHECK(data.report.unusable.size() == 7);
  CHECK(data.report.unusable[6].place.line == 8);
  CHECK(data.report.problems[static_cast<size_t>(RowProblem::invalid_json)] == 50);
  CHECK(data.report.problems[static_cast<size_t>(RowProblem::blank)] == 30);
  CHECK(data.examples->origin(1).line == 82);
}

TEST_CASE("data without a usable row says so") {
  const TemporaryDirectory root;
  put(root / "d.jsonl", "[\n{}\n");
  const std::string path = root / "d.jsonl";
  const auto error = error_of([&] { open({path}); });
  REQUIRE(error);
  CHECK(error->status() == Status::invalid_data);
  CHECK(error->message().starts_with(concat("expected at least one row that can be used in '", path,
                                            "', seen none of 2; the first: ", path,
                                            " line 1: column ")));
  put(path, "");
  CHECK(message_of([&] { open({path}); }) ==
        concat("expected at least one row that can be used in '", path, "', seen none of 0"));
  CHECK(error_of([] { open({}); })->status() == Status::invalid_argument);
  CHECK(error_of([&] { open({root / "missing.jsonl"}); })->status() == Status::file_not_found);
  CHECK(error_of([&] { open({root.path()}); })->status() == Status::invalid_argument);
}

TEST_CASE("a line of 100 MB is passed over in little memory") {
  const TemporaryDirectory root;
  const std::string path = root / "d.jsonl";
  {
    std::ofstream file(path, std::ios::binary);
    file << "{\"text\": \"one\"}\n{\"text\": \"";
    const std::string block(1 << 20, 'x');
    for (int i = 0; i < 100; ++i) file << block;
    file << "\"}\n{\"text\": \"three\"}\n";
  }
  const TextDataset data = open({path});
  CHECK(texts_of(*data.examples) == std::vector<std::string>{"one|", "three|"});
  REQUIRE(data.report.unusable.size() == 1);
  CHECK(data.report.unusable[0].to_string() ==
        concat(path, " line 2: expected at most 16777216 bytes, seen more"));
  CHECK(data.report.problems[static_cast<size_t>(RowProblem::too_long)] == 1);
}

TEST_CASE("beginning and end of text, keys and special tokens are options") {
  const std::string line = R"({"text": "a<|eos|>b", "body": "c", "q": "d", "a": "e"})"
                           "\n";
  TextDatasetOptions options;
  CHECK(texts_of(*open_text("d.jsonl", line, options).examples)[0] == "a<|eos|>b|");
  CHECK(open_text("d.jsonl", line, options).report.spells_special == 1);
  CHECK(open_text("d.jsonl", line, options).report.special[0].line == 1);
  options.parse_special = true;
  CHECK(texts_of(*open_text("d.jsonl", line, options).examples)[0] == "a|b|");
  // An end that is there already is not doubled.
  CHECK(texts_of(*open_text("d.jsonl", R"({"text": "a<|eos|>"})", options).examples)[0] == "a|");
  options.parse_special = false;
  options.add_eos = false;
  options.add_bos = true;
  CHECK(example_of(*open_text("d.jsonl", R"({"text": "ab"})", options).examples, 0).ids ==
        std::vector<int32_t>{ByteTokenizer::bos, 'a', 'b'});
  options = {};
  options.text_key = "body";
  CHECK(texts_of(*open_text("d.jsonl", line, options).examples)[0] == "c|");
  CHECK(open_text("d.jsonl", line, options).report.spells_special == 0);
  options.prompt_key = "q";
  options.completion_key = "a";
  const TextDataset pairs = open_text("d.jsonl", line, options);
  CHECK(text_of(*pairs.examples, 0) == "de|");
  CHECK(pairs.examples->supervised_tokens() == 2);
  options.supervision = Supervision::everything;
  options.add_bos = true;
  CHECK(open_text("d.jsonl", line, options).examples->supervised_tokens() == 3);
  options.stop_ids = {258};
  CHECK(error_of([&] { open_text("d.jsonl", line, options); })->status() ==
        Status::invalid_argument);
}

TEST_CASE("text files, whole and cut into documents") {
  const std::string text = "one\ntwo\n<|end|>\nthree\n<|end|>\n\n";
  CHECK(texts_of(*open_text("d.txt", text).examples) == std::vector<std::string>{text + "|"});
  TextDatasetOptions options;
  options.document_separator = "<|end|>\n";
  const TextDataset data = open_text("d.txt", text, options);
  CHECK(texts_of(*data.examples) == std::vector<std::string>{"one\ntwo\n|", "three\n|"});
  CHECK(data.report.rows == 2);
  CHECK(data.examples->origin(1).line == 4);
  // A long document becomes several examples: one beginning, one end, nothing in between.
  options.document_separator = "";
  options.max_document_bytes = 8;
  options.add_bos = true;
  const TextDataset cut = open_text("d.txt", "aaa bbb ccc\nddd eee", options);
  std::vector<int32_t> ids;
  for (const StoredToken token : cut.examples->all_tokens()) ids.push_back(token.id());
  std::vector<int32_t> expected = {ByteTokenizer::bos};
  for (const char c : std::string("aaa bbb ccc\nddd eee")) expected.push_back(c);
  expected.push_back(eos);
  CHECK(ids == expected);
  CHECK(cut.examples->count() > 2);
  const auto tokens = token_stream(cut.examples);
  CHECK(tokens->size() == 21);
  CHECK(open_text("d.txt",
                  std::string("good\0bad", 8) + "\x1f"
                                                "fine",
                  [] {
                    TextDatasetOptions separated;
                    separated.document_separator = "\x1f";
                    return separated;
                  }())
            .report.unusable[0]
            .message == "NUL at byte 4");
}

TEST_CASE("token files become documents") {
  const TemporaryDirectory root;
  const auto documents = [&](const std::vector<int32_t>& ids) {
    TokenFileWriter writer(root / "d.bin", ByteTokenizer().vocab_size());
    writer.write(ids);
    writer.commit();
    const TextDataset data = open({root / "d.bin"});
    std::vector<std::vector<int32_t>> result;
    for (int64_t i = 0; i < data.examples->count(); ++i)
      result.push_back(example_of(*data.examples, i).ids);
    return result;
  };
  using Documents = std::vector<std::vector<int32_t>>;
  constexpr int32_t bos = ByteTokenizer::bos;
  CHECK(documents({bos, 1, 2, bos, 3, eos, 4, bos, 5}) ==
        Documents{{bos, 1, 2}, {bos, 3, eos, 4}, {bos, 5}});
  CHECK(documents({1, 2, eos, 3, bos, eos, eos, 4, 5}) ==
        Documents{{1, 2, eos}, {3, bos, eos}, {4, 5}});
  std::vector<int32_t> many;
  for (int i = 0; i < 100'000; ++i) {
    many.push_back(i % 200);
    if (i % 7 == 6) many.push_back(eos);
  }
  const Documents seen = documents(many); // more than the reader takes at a time
  std::vector<int32_t> joined;
  for (const auto& document : seen) joined.insert(joined.end(), document.begin(), document.end());
  CHECK(joined == many);
  CHECK(seen.size() == 100'000 / 7 + 1);
  put(root / "d.bin", std::string("\x01\x00\xff\xff", 4));
  CHECK(error_of([&] { open({root / "d.bin"}); })->status() == Status::invalid_data);
}

TEST_CASE("several files of several kinds") {
  const TemporaryDirectory root;
  put(root / "a.jsonl", "{\"text\": \"one\"}\nbad\n");
  put(root / "b.txt", "two");
  put(root / "c.json", "{\"prompt\": \"th\", \"completion\": \"ree\"}");
  const TextDataset data = open({root / "a.jsonl", root / "b.txt", root / "c.json"});
  CHECK(texts_of(*data.examples) == std::vector<std::string>{"one|", "two|", "three|"});
  CHECK(data.examples->origin(2).file == 2);
  CHECK(data.files[2] == root / "c.json");
  CHECK(data.report.unusable[0].place.to_string() == concat(root / "a.jsonl", " line 2"));
  TextDatasetOptions options;
  options.format = DataFormat::text;
  CHECK(texts_of(*open({root / "a.jsonl"}, options).examples)[0] == "{\"text\": \"one\"}\nbad\n|");
}

TEST_CASE("directories as mlx-lm lays them out") {
  const TemporaryDirectory root;
  for (const char* const name : {"train.jsonl", "train-00002.jsonl", "train-00001.jsonl.gz",
                                 "valid.jsonl", "test.txt", "trainer.jsonl", "README.md"})
    put(root / name, "x");
  const DataFiles found = find_data_files(root.path());
  CHECK(found.train == std::vector<std::string>{root / "train-00002.jsonl", root / "train.jsonl"});
  CHECK(found.validation == std::vector<std::string>{root / "valid.jsonl"});
  CHECK(found.test == std::vector<std::string>{root / "test.txt"});
  CHECK(find_data_files(root / "README.md").train == std::vector<std::string>{root / "README.md"});
  CHECK(find_data_files(root / "README.md").validation.empty());
  const TemporaryDirectory empty;
  CHECK(message_of([&] { find_data_files(empty.path()); }) ==
        concat("expected train.jsonl (or train.txt, train-*.jsonl, ...) in '", empty.path(),
               "', seen nothing"));
  put(empty / "data.jsonl", "x");
  const auto error = error_of([&] { find_data_files(empty.path()); });
  CHECK(error->status() == Status::file_not_found);
  CHECK(error->message().ends_with("seen 'data.jsonl'"));
  CHECK(error_of([&] { find_data_files(empty / "missing"); })->status() == Status::file_not_found);
}

TEST_CASE("threads, memory limits and progress do not change the result") {
  const TemporaryDirectory root;
  std::string text;
  for (int i = 0; i < 30'000; ++i)
    text += i % 11 == 0
                ? "broken\n"
                : concat("{\"prompt\": \"", i, " + 1 = \", \"completion\": \"", i + 1, "\"}\n");
  put(root / "d.jsonl", text);
  const TextDataset plain = open({root / "d.jsonl"});
  ThreadPool threads(3);
  TextDatasetOptions options;
  options.threads = &threads;
  options.store = {1 << 16, root.path()};
  std::vector<int64_t> done;
  options.progress = [&](const DataProgress& progress) {
    CHECK(progress.bytes_total == static_cast<int64_t>(text.size()));
    done.push_back(progress.bytes_done);
    return true;
  };
  const TextDataset other = open({root / "d.jsonl"}, options);
  CHECK_FALSE(other.examples->in_memory());
  CHECK(other.examples->fingerprint() == plain.examples->fingerprint());
  CHECK(other.report.rows == plain.report.rows);
  REQUIRE(other.report.unusable.size() == plain.report.unusable.size());
  for (size_t i = 0; i < other.report.unusable.size(); ++i)
    CHECK(other.report.unusable[i].to_string() == plain.report.unusable[i].to_string());
  CHECK(done.size() > 1);
  CHECK(std::is_sorted(done.begin(), done.end()));
  CHECK(done.back() == static_cast<int64_t>(text.size()));

  options.progress = [](const DataProgress& progress) { return progress.rows == 0; };
  const auto error = error_of([&] { open({root / "d.jsonl"}, options); });
  REQUIRE(error);
  CHECK(error->status() == Status::cancelled);
  CHECK(root.names() == std::vector<std::string>{"d.jsonl"});
}

TEST_CASE("statistics of examples") {
  std::string text;
  for (int length = 1; length <= 100; ++length)
    text += "{\"text\": \"" + std::string(static_cast<size_t>(length), 'x') + "\"}\n";
  text += "{\"prompt\": \"abc\", \"completion\": \"d\"}\n";
  text += "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n"; // the same ids, another mask
  text += "{\"text\": \"x\"}\n{\"text\": \"xx\"}\n{\"text\": \"x\"}\n";
  const TextDataset data = open_text("d.jsonl", text);
  const ExampleStatistics statistics = example_statistics(*data.examples);
  CHECK(statistics.examples == 105);
  CHECK(statistics.duplicates == 3);
  // With the end of text: 2 to 101, twice 5, and 2, 3, 2.
  CHECK(statistics.tokens == 103 * 50 + 10 + 7);
  CHECK(statistics.supervised_tokens == 101 * 50 + 2 + 3 + 4);
  CHECK(statistics.lengths.minimum == 2);
  CHECK(statistics.lengths.maximum == 101);
  CHECK(statistics.lengths.mean == doctest::Approx(5167.0 / 105));
  CHECK(statistics.lengths.median == 49);       // 52 are below, 52 above
  CHECK(statistics.lengths.percentile95 == 96); // 100 of 105 are not above
  CHECK(statistics.supervised.minimum == 1);
}

TEST_CASE("samples are shown with their masks and special tokens") {
  const TextDataset data =
      open_text("d.jsonl", R"({"prompt": "two: ", "completion": "zwei \u00e9"})"
                           "\n");
  const std::vector<MaskRun> runs = mask_runs(*data.examples, 0, ByteTokenizer());
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].text == "two: ");
  CHECK_FALSE(runs[0].supervised);
  CHECK(runs[0].tokens == 5);
  CHECK(runs[1].text == "zwei \xC3\xA9<|eos|>");
  CHECK(runs[1].supervised);
  CHECK(runs[1].tokens == 8);
}
