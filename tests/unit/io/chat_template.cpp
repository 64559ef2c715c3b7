// Conversations against jinja2: tests/golden/chat_template/make_conversations.py wrote the file.
#include "io/dataset/chat_template.h"

#include "io/tokenizer/byte_tokenizer.h"
#include "test_files.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>

using namespace anet;
using namespace anet::io;
using namespace anet::test;

namespace {

const Json& golden() {
  static const Json json =
      Json::parse(get("tests/golden/chat_template/conversations.json"), "conversations.json");
  return json;
}

std::string string_of(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value == nullptr || value->if_string() == nullptr ? std::string() : *value->if_string();
}

// Bytes, pairs of letters, and special tokens by their names.
class TestTokenizer final : public Tokenizer {
public:
  explicit TestTokenizer(std::vector<std::string> specials) : specials_(std::move(specials)) {}

  static constexpr int32_t first_special = 257; // 256 is ">a"
  int32_t vocab_size() const override {
    return first_special + static_cast<int32_t>(specials_.size());
  }
  std::optional<int32_t> bos_id() const override { return 0; }
  std::optional<int32_t> eos_id() const override { return std::nullopt; }
  bool adds_bos() const override { return true; }
  bool is_special(int32_t id) const override { return id >= first_special; }
  std::optional<int32_t> special_id(std::string_view name) const override {
    const auto found = std::find(specials_.begin(), specials_.end(), name);
    if (found == specials_.end()) return std::nullopt;
    return first_special + static_cast<int32_t>(found - specials_.begin());
  }
  std::string special_name(int32_t id) const override {
    return is_special(id) ? specials_[static_cast<size_t>(id - first_special)] : "";
  }
  std::string token_bytes(int32_t id) const override {
    if (is_special(id)) return {};
    return id == 256 ? ">a" : std::string(1, static_cast<char>(id));
  }
  std::string fingerprint() const override { return "test"; }

protected:
  void encode_text(std::string_view text, bool parse_special, std::vector<int32_t>& ids,
                   std::vector<TextRange>* ranges) const override {
    for (size_t i = 0; i < text.size();) {
      size_t length = 1;
      int32_t id = static_cast<unsigned char>(text[i]);
      if (text.substr(i).starts_with(">a")) {
        id = 256;
        length = 2;
      }
      for (const std::string& name : specials_) {
        if (!parse_special || !text.substr(i).starts_with(name)) continue;
        id = special_id(name).value();
        length = name.size();
        break;
      }
      ids.push_back(id);
      if (ranges != nullptr)
        ranges->push_back({static_cast<int64_t>(i), static_cast<int64_t>(i + length)});
      i += length;
    }
  }

private:
  std::vector<std::string> specials_;
};

using Spans = std::vector<std::pair<int64_t, int64_t>>;

Spans spans_of(const Json& list) {
  Spans spans;
  for (const Json& span : *list.if_array())
    spans.emplace_back((*span.if_array())[0].to_int64().value(),
                       (*span.if_array())[1].to_int64().value());
  return spans;
}

struct Family {
  explicit Family(const std::string& name)
      : json(*golden().find("families")->find(name)),
        stop_names(JsonView(json).at("stop").strings()), tokenizer(stop_names) {
    for (const std::string& stop : stop_names)
      stop_ids.push_back(tokenizer.special_id(stop).value());
  }

  ChatTemplate chat_template(std::string_view key = "template") const {
    ChatTemplate result(string_of(json, key), string_of(json, "bos"), string_of(json, "eos"));
    std::tm date{};
    date.tm_year = 124;
    date.tm_mon = 6;
    date.tm_mday = 5;
    date.tm_wday = 5;
    result.set_date(date);
    return result;
  }

  const Json& json;
  std::vector<std::string> stop_names;
  TestTokenizer tokenizer;
  std::vector<int32_t> stop_ids;
};

struct Case {
  explicit Case(const Json& entry)
      : json(entry), family(string_of(entry, "family")),
        messages(*golden().find("conversations")->find(string_of(entry, "conversation"))),
        tools(*entry.find("tools")->if_boolean() ? *golden().find("tools") : Json()),
        variables(*entry.find("variables")) {}

  std::string name() const {
    return string_of(json, "family") + ", " + string_of(json, "conversation") + ", " +
           variables.to_string();
  }
  // nullopt if the template refuses.
  std::optional<std::string> text(std::string_view key) const {
    const Json* value = json.find(key);
    return value->is_null() ? std::nullopt : std::optional(*value->if_string());
  }
  MaskedTokens encode(const ChatTemplate& chat_template, Supervision supervision) const {
    return chat_template.encode(family.tokenizer, family.stop_ids, messages, tools, supervision,
                                variables);
  }
  // Bytes of the text that supervised tokens stand for.
  Spans supervised(const MaskedTokens& tokens) const {
    const Encoding encoding =
        family.tokenizer.encode_with_ranges(*text("text"), {.parse_special = true});
    REQUIRE(tokens.ids == encoding.ids);
    REQUIRE(tokens.supervised.size() == tokens.ids.size());
    Spans spans;
    for (size_t i = 0; i < tokens.ids.size(); ++i) {
      if (tokens.supervised[i] == 0) continue;
      if (i > 0 && tokens.supervised[i - 1] != 0)
        spans.back().second = encoding.ranges[i].end;
      else
        spans.emplace_back(encoding.ranges[i].begin, encoding.ranges[i].end);
    }
    return spans;
  }

  const Json& json;
  Family family;
  const Json& messages;
  Json tools;
  const Json& variables;
};

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const Json& entry : *golden().find("cases")->if_array()) result.emplace_back(entry);
  return result;
}

Json message(const char* role, const char* content) {
  return Json::object().set("role", role).set("content", content);
}

Json conversation(std::initializer_list<const char*> contents) {
  Json messages = Json::array();
  for (const char* content : contents)
    messages.push_back(
        message(messages.if_array()->size() % 2 == 0 ? "user" : "assistant", content));
  return messages;
}

// A place for the files of one test.
struct Directory {
  Directory() : path(std::filesystem::temp_directory_path() / "ane_train_chat_template") {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name) const { return path / name; }
  std::filesystem::path path;
};

} // namespace

TEST_CASE("conversations render as jinja2 renders them") {
  int rendered = 0;
  for (const Case& entry : cases()) {
    CAPTURE(entry.name());
    const ChatTemplate chat_template = entry.family.chat_template();
    for (const bool prompt : {false, true}) {
      const auto expected = entry.text(prompt ? "prompt" : "text");
      std::optional<std::string> seen;
      try {
        seen = chat_template.render(entry.messages, entry.tools, prompt, entry.variables);
      } catch (const Error&) {
      }
      CHECK(seen == expected);
      rendered += expected.has_value();
    }
  }
  CHECK(rendered > 100);
}

TEST_CASE("masks are those of an independent renderer") {
  int masked = 0, refused = 0;
  for (const Case& entry : cases()) {
    if (!entry.text("text")) continue;
    CAPTURE(entry.name());
    const ChatTemplate chat_template = entry.family.chat_template();
    const Json& expected = *entry.json.find("prefix_spans");
    if (expected.is_null()) {
      ++refused;
      const auto error = error_of([&] { entry.encode(chat_template, Supervision::assistant); });
      REQUIRE(error);
      CHECK(error->status() == Status::invalid_data);
      continue;
    }
    ++masked;
    const Spans spans = spans_of(expected);
    CHECK(entry.supervised(entry.encode(chat_template, Supervision::assistant)) == spans);
    CHECK(entry.supervised(entry.encode(chat_template, Supervision::last)) == Spans{spans.back()});
    const MaskedTokens all = entry.encode(chat_template, Supervision::everything);
    CHECK(std::count(all.supervised.begin(), all.supervised.end(), 1) ==
          static_cast<std::ptrdiff_t>(all.ids.size()));
  }
  CHECK(masked > 30);
  CHECK(refused > 10);
}

TEST_CASE("a template that marks generations is taken at its word") {
  int masked = 0;
  for (const Case& entry : cases()) {
    if (!entry.text("text") || string_of(entry.json, "family") == "stop at end") continue;
    const Spans spans = spans_of(*entry.json.find("spans"));
    if (spans.empty()) continue;
    CAPTURE(entry.name());
    const ChatTemplate marked = entry.family.chat_template("marked");
    CHECK(marked.render(entry.messages, entry.tools, false, entry.variables) == entry.text("text"));
    CHECK(entry.supervised(entry.encode(marked, Supervision::assistant)) == spans);
    CHECK(entry.supervised(entry.encode(marked, Supervision::last)) == Spans{spans.back()});
    ++masked;
  }
  CHECK(masked > 40);
}

TEST_CASE("what cannot be supervised is refused with its reason") {
  const TestTokenizer tokenizer({"</s>"});
  const std::vector<int32_t> stop = {TestTokenizer::first_special};
  const auto refusal = [&](const ChatTemplate& chat_template, const Json& messages) {
    return message_of(
        [&] { chat_template.encode(tokenizer, stop, messages, {}, Supervision::assistant); });
  };
  const ChatTemplate zephyr = ChatTemplate::built_in("zephyr");
  CHECK(refusal(zephyr, conversation({"only a question"})) ==
        "expected an assistant turn, seen none in 1 messages");
  CHECK(refusal(zephyr, Json("x")) == "expected an array of messages, seen a string");
  CHECK(refusal(zephyr, Json::array().push_back(3)) ==
        "expected an object as message 1, seen a number");
  CHECK(refusal(zephyr, Json::array().push_back(Json::object())) ==
        "expected a text as 'role' of message 1, seen none");
  const ChatTemplate endless("{% for m in messages %}{{ m.role ~ m.content }}{% endfor %}"
                             "{% if add_generation_prompt %}assistant{% endif %}",
                             "", "</s>");
  CHECK(refusal(endless, conversation({"a", "b"})) ==
        "expected one of 1 stop tokens at the end of the assistant's turn at byte 14 of the "
        "conversation, seen none");
  // The stop token of the next message is none of this one's.
  CHECK(refusal(endless, conversation({"a", "b", "c</s>", "d</s>"})).find("turn at byte 14") !=
        std::string::npos);
  const ChatTemplate counting("{{ messages | length }}{% for m in messages %}{{ m.content }}</s>"
                              "{% endfor %}",
                              "", "</s>");
  CHECK(refusal(counting, conversation({"a", "b"}))
            .starts_with("expected the prompt of message 2 to be the beginning of the whole "
                         "conversation, which differs from byte 0 of 6 on"));
  CHECK(refusal(ChatTemplate("{{ raise_exception('never') }}", "", ""), conversation({"a", "b"})) ==
        "never");
}

TEST_CASE("a token on both sides of a turn's beginning belongs to the turn") {
  const TestTokenizer tokenizer({"</s>"});
  const std::vector<int32_t> stop = {TestTokenizer::first_special};
  const ChatTemplate chat_template(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>"
      "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
      "", "</s>");
  const MaskedTokens tokens = chat_template.encode(tokenizer, stop, conversation({"q", "answer"}),
                                                   {}, Supervision::assistant);
  const auto first = std::find(tokens.supervised.begin(), tokens.supervised.end(), 1);
  CHECK(tokens.ids[static_cast<size_t>(first - tokens.supervised.begin())] == 256); // ">a"
  CHECK(std::count(tokens.supervised.begin(), tokens.supervised.end(), 1) == 7);
  CHECK(tokens.supervised.back() == 1);
}

TEST_CASE("contents of parts and arguments of text reach the template in one form") {
  const ChatTemplate print("{% for m in messages %}{{ m | tojson }}{% endfor %}{{ tools }}", "",
                           "");
  const Json messages = Json::parse(R"([
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "tool_calls": [
      {"function": {"name": "f", "arguments": "{\"x\": [1, 2.0]}"}},
      {"name": "g", "arguments": "not json"}]}])");
  CHECK(print.render(messages, {}, false) ==
        R"({"role": "user", "content": "ab"})"
        R"({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": )"
        R"({"x": [1, 2.0]}}}, {"name": "g", "arguments": "not json"}]})"
        "None");
  const Json image = Json::parse(R"([{"role": "user", "content": [{"type": "image"}]}])");
  CHECK(message_of([&] { print.render(image, {}, false); }) ==
        "expected parts of type 'text' in message 1, seen 'image'");
}

TEST_CASE("a template without a place for tools refuses them") {
  const ChatTemplate plain("{% for m in messages %}{{ m.content }}{% endfor %}", "", "");
  const Json tools = Json::array().push_back(Json::object());
  CHECK(message_of([&] { plain.render(conversation({"a"}), tools, false); }) ==
        "the chat template has no place for tools, seen 1");
  CHECK(plain.render(conversation({"a"}), Json::array(), false) == "a");
  CHECK(message_of([&] { plain.render(conversation({"a"}), Json("x"), false); }) ==
        "expected an array of tools, seen a string");
}

TEST_CASE("built-in templates write the families' formats") {
  const Json messages = Json::array()
                            .push_back(message("system", "Be kind."))
                            .push_back(message("user", "Hi"))
                            .push_back(message("assistant", "Hello"))
                            .push_back(message("user", "Bye"));
  // As the families' model cards have them.
  CHECK(ChatTemplate::built_in("chatml").render(messages, {}, true) ==
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n");
  CHECK(ChatTemplate::built_in("llama3").render(messages, {}, true) ==
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
  CHECK(ChatTemplate::built_in("llama2").render(messages, {}, true) ==
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]");
  CHECK(ChatTemplate::built_in("zephyr").render(messages, {}, true) ==
        "<|system|>\nBe kind.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|user|>\nBye</s>\n"
        "<|assistant|>\n");
  CHECK(message_of([] { ChatTemplate::built_in("gpt"); }) ==
        "expected chatml, llama2, llama3 or zephyr as a built-in chat template, seen 'gpt'");
  const Json tools = Json::array().push_back(Json::object());
  for (const char* name : {"chatml", "llama2", "llama3", "zephyr"}) {
    CAPTURE(name);
    const ChatTemplate built_in = ChatTemplate::built_in(name);
    CHECK(!built_in.uses_date());
    CHECK(message_of([&] { built_in.render(messages, tools, false); }) ==
          "this built-in chat template has no place for tools");
    CHECK(message_of([&] {
            built_in.render(Json::array().push_back(message("tool", "x")), {}, false);
          }) == "this built-in chat template has no role tool");
    CHECK(message_of([&] {
            built_in.render(Json::array().push_back(Json::object().set("role", "user")), {}, false);
          }) == "this built-in chat template expects text as content");
  }
  CHECK(message_of([&] {
          ChatTemplate::built_in("llama2").render(
              Json::array().push_back(message("assistant", "x")), {}, false);
        }) == "user and assistant must take turns, and the user begins");
}

TEST_CASE("templates are found where models keep them") {
  const Directory directory;
  const Json messages = conversation({"q"});
  const auto rendered = [&](const Json& tools = {}) {
    return ChatTemplate::load(directory.path).render(messages, tools, false);
  };
  const Json tools = Json::array().push_back(Json::object());
  const auto missing = error_of([&] { rendered(); });
  REQUIRE(missing);
  CHECK(missing->status() == Status::not_found);
  CHECK(missing->message().find("chat_template.jinja") != std::string::npos);
  CHECK(missing->message().find("tokenizer_config.json") != std::string::npos);

  put(directory.file("tokenizer_config.json"),
      R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null, "pad_token": "<pad>",
          "chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ messages[0].content }}"})");
  CHECK(rendered() == "<s><pad>q");
  put(directory.file("special_tokens_map.json"), R"({"bos_token": "other", "eos_token": "</s>"})");
  CHECK(rendered() == "<s></s><pad>q");

  put(directory.file("tokenizer_config.json"),
      R"({"chat_template": [{"name": "default", "template": "d{{ messages[0].content }}"},
                            {"name": "tool_use", "template": "t{{ tools | length }}"}]})");
  CHECK(rendered() == "dq");
  CHECK(rendered(Json::array()) == "dq");
  CHECK(rendered(tools) == "t1");
  put(directory.file("tokenizer_config.json"),
      R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  CHECK(message_of([&] { rendered(); }) ==
        "expected a template of the name 'default', seen 1 others at 'chat_template'");
  put(directory.file("tokenizer_config.json"), R"({"chat_template": 5})");
  CHECK(message_of([&] { rendered(); }) == "expected an array at 'chat_template', seen a number");

  put(directory.file("chat_template.jinja"), "file {{ messages[0].content }}\n");
  CHECK(rendered() == "file q");
  CHECK(message_of([&] { rendered(tools); }).find("no place for tools") != std::string::npos);
  std::filesystem::create_directory(directory.file("additional_chat_templates"));
  put(directory.file("additional_chat_templates/tool_use.jinja"), "with {{ tools | length }}");
  CHECK(rendered(tools) == "with 1");
  put(directory.file("chat_template.jinja"), "{% if %}");
  CHECK(message_of([&] { rendered(); }) ==
        "template line 1, column 7: expected an expression, seen '%}'");
}

TEST_CASE("the date can be fixed") {
  ChatTemplate dated("{{ strftime_now('%d %b %Y') }}", "", "");
  CHECK(dated.uses_date());
  std::tm date{};
  date.tm_year = 99;
  date.tm_mon = 11;
  date.tm_mday = 31;
  dated.set_date(date);
  CHECK(dated.render(Json::array(), {}, false) == "31 Dec 1999");
}
