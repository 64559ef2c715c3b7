#include "io/dataset/record_encoder.h"

#include "base/status.h"
#include "base/utf8.h"

#include <algorithm>
#include <limits>

namespace anet::io {
namespace {

// "expected at most 8 keys" is enough of a row that we do not know.
constexpr size_t shown_keys = 8;
constexpr size_t shown_key_bytes = 40;

// Failures that are not the row's fault go on.
bool is_about_the_row(const Error& error) {
  switch (error.status()) {
  case Status::out_of_memory:
  case Status::memory_limit:
  case Status::cancelled:
  case Status::io:
  case Status::internal:
    return false;
  default:
    return true;
  }
}

// A JSONL row is one line, so the parser's "row line 1, column 7: ..." becomes
// "column 7: ...".
Json parse_row(std::string_view line) {
  constexpr std::string_view source = "row";
  try {
    return Json::parse(line, source, Status::invalid_data, {.max_size = line.size()});
  } catch (const Error& error) {
    const std::string prefix = concat(source, " line 1, ");
    const std::string& message = error.message();
    throw Error(error.status(),
                message.starts_with(prefix) ? message.substr(prefix.size()) : message);
  }
}

std::string keys_of(const Json::Object& members) {
  std::string keys;
  for (size_t i = 0; i < std::min(members.size(), shown_keys); ++i) {
    const std::string& key = members[i].key;
    const std::string shown = replace_invalid_utf8(key.substr(0, shown_key_bytes));
    keys += concat(i == 0 ? "" : ", ", "'", shown, key.size() > shown_key_bytes ? "..." : "", "'");
  }
  if (members.size() > shown_keys) keys += concat(" and ", members.size() - shown_keys, " more");
  return keys.empty() ? "none" : keys;
}

void append(MaskedTokens& tokens, std::span<const int32_t> ids, bool supervised) {
  tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.end());
  tokens.supervised.insert(tokens.supervised.end(), ids.size(), supervised ? 1 : 0);
}

// A string is a turn of its role; a list of messages is taken as it is.
Json as_messages(const Json& value, std::string_view role) {
  if (value.if_array() != nullptr) return value;
  Json message = Json::object();
  message.set("role", role).set("content", value);
  return Json(Json::Array{std::move(message)});
}

int64_t assistant_turns(const Json& messages) {
  const Json::Array& turns = *messages.if_array();
  return std::count_if(turns.begin(), turns.end(), [](const Json& turn) {
    const Json* const role = turn.find("role");
    return role != nullptr && role->if_string() != nullptr && *role->if_string() == "assistant";
  });
}

// Clears the first `turns` runs of supervised tokens, of which there must be
// `total`.
void mask_first_turns(MaskedTokens& tokens, int64_t turns, int64_t total) {
  int64_t runs = 0;
  bool before = false;
  for (uint8_t& mask : tokens.supervised) {
    const bool supervised = mask != 0;
    if (supervised && !before) ++runs;
    before = supervised;
    if (runs <= turns) mask = 0;
  }
  if (runs != total)
    fail(Status::invalid_data, "expected ", total,
         " assistant turns apart from each other, to mask those of the prompt, "
         "seen ",
         runs);
}

const JsonView& check_messages(const JsonView& messages) {
  if (messages.size() == 0) messages.fail_here("expected at least one message, seen none");
  for (size_t i = 0; i < messages.size(); ++i) messages.at(i).at("role").string();
  return messages;
}

} // namespace

RecordEncoder::RecordEncoder(const Tokenizer& tokenizer, const TextDatasetOptions& options)
    : tokenizer_(tokenizer), options_(options), specials_(tokenizer), stop_ids_(options.stop_ids),
      add_bos_(options.add_bos.value_or(tokenizer.adds_bos())),
      add_eos_(options.add_eos.value_or(tokenizer.eos_id().has_value())) {
  if (add_bos_ && !tokenizer.bos_id())
    fail(Status::invalid_argument, "add_bos: this tokenizer has no beginning-of-sequence token");
  if (add_eos_ && !tokenizer.eos_id())
    fail(Status::invalid_argument, "add_eos: this tokenizer has no end-of-sequence token");
  for (const int32_t id : stop_ids_)
    if (id < 0 || id >= tokenizer.vocab_size())
      fail(Status::invalid_argument, "expected stop tokens below ", tokenizer.vocab_size(),
           ", seen ", id);
  if (stop_ids_.empty() && tokenizer.eos_id()) stop_ids_.push_back(*tokenizer.eos_id());
}

bool RecordEncoder::ends_with_stop(const MaskedTokens& tokens) const {
  const auto last = std::find(tokens.supervised.rbegin(), tokens.supervised.rend(), 1);
  if (last == tokens.supervised.rend()) return false;
  const int32_t id =
      tokens.ids[tokens.ids.size() - 1 - static_cast<size_t>(last - tokens.supervised.rbegin())];
  return std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
}

void RecordEncoder::check_learnable(const MaskedTokens& tokens) const {
  const bool any = tokens.ids.size() > 1 &&
                   std::find(tokens.supervised.begin() + 1, tokens.supervised.end(), 1) !=
                       tokens.supervised.end();
  if (!any) fail(Status::invalid_data, "supervises 0 of ", tokens.ids.size(), " tokens");
}

EncodedRow RecordEncoder::encode_json(std::string_view line, bool check_round_trip) const {
  EncodedRow row;
  RowProblem stage = RowProblem::invalid_text;  // what a failure from here on means
  if (check_round_trip) row.round_trip = false; // asked for; encode_record knows whether it applies
  try {
    if (const size_t bad = find_invalid_utf8(line); bad != std::string_view::npos)
      fail(Status::invalid_data, "invalid UTF-8 at byte ", bad);
    stage = RowProblem::invalid_json;
    const Json record = parse_row(line);
    stage = RowProblem::unknown_record;
    encode_record(record, row, stage);
    stage = RowProblem::nothing_to_learn;
    check_learnable(row.tokens);
  } catch (const Error& error) {
    if (!is_about_the_row(error)) throw;
    row.problem = stage;
    row.message = error.message();
    row.round_trip.reset();
  }
  return row;
}

void RecordEncoder::encode_record(const Json& record, EncodedRow& row, RowProblem& stage) const {
  if (record.if_object() == nullptr)
    fail(Status::invalid_data, "expected an object, seen ", json_kind_name(record.kind()));
  const JsonView view(record, Status::invalid_data);
  const auto has = [&](const std::string& key) { return view.find(key).has_value(); };
  const bool conversation = has(options_.messages_key);
  const bool completion = has(options_.prompt_key) && has(options_.completion_key);
  if (!conversation && !completion) row.round_trip.reset();
  if (has("ids")) {
    stage = RowProblem::invalid_field;
    row.kind = RecordKind::tokens;
    row.round_trip.reset();
    row.tokens = encode_ids(view, stage);
  } else if (completion) {
    stage = RowProblem::invalid_field;
    row.kind = RecordKind::completion;
    row.tokens = encode_completion(view, row, stage);
  } else if (conversation) {
    stage = RowProblem::invalid_field;
    row.kind = RecordKind::chat;
    const JsonView messages = view.at(options_.messages_key);
    check_messages(messages);
    const auto tools = view.find(options_.tools_key);
    if (tools) static_cast<void>(tools->size());
    row.spells_special = specials_.in(messages.value());
    stage = RowProblem::chat_template;
    row.tokens = encode_chat(messages.value(), tools ? tools->value() : Json(), row);
  } else if (has(options_.text_key)) {
    stage = RowProblem::invalid_field;
    const std::string& text = view.at(options_.text_key).string();
    if (text.empty()) {
      stage = RowProblem::nothing_to_learn;
      fail(Status::invalid_data, "'", options_.text_key, "' is empty");
    }
    row.spells_special = specials_.in(std::string_view(text));
    row.tokens = encode_plain(text, {});
  } else {
    fail(Status::invalid_data, "expected a key '", options_.text_key, "', '", options_.messages_key,
         "', 'ids', or '", options_.prompt_key, "' and '", options_.completion_key, "', seen ",
         keys_of(*record.if_object()));
  }
}

// {"ids": [...], "mask": [...]}
MaskedTokens RecordEncoder::encode_ids(const JsonView& record, RowProblem& stage) const {
  const JsonView ids = record.at("ids");
  const auto mask = record.find("mask");
  if (mask && mask->size() != ids.size())
    fail(Status::invalid_data, "expected a mask of ", ids.size(), " values, one a token, seen ",
         mask->size());
  MaskedTokens tokens;
  tokens.supervised.assign(ids.size(), 1);
  for (size_t i = 0; mask && i < ids.size(); ++i) {
    const auto value = (*mask->value().if_array())[i].to_int64();
    if (!value || *value < 0 || *value > 1) static_cast<void>(mask->at(i).integer(0, 1));
    tokens.supervised[i] = static_cast<uint8_t>(*value);
  }
  tokens.ids.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto value = (*ids.value().if_array())[i].to_int64();
    if (!value) static_cast<void>(ids.at(i).integer());
    if (*value < 0 || *value >= tokenizer_.vocab_size()) {
      stage = RowProblem::invalid_token;
      static_cast<void>(ids.at(i).integer(0, tokenizer_.vocab_size() - 1));
    }
    tokens.ids.push_back(static_cast<int32_t>(*value));
  }
  return tokens;
}

// Every token of it is learned.
MaskedTokens RecordEncoder::encode_plain(std::string_view text, TextPiece piece) const {
  MaskedTokens tokens;
  tokens.ids = tokenizer_.encode(
      text, {.add_bos = add_bos_ && piece.begins, .parse_special = options_.parse_special});
  const int32_t eos = tokenizer_.eos_id().value_or(-1);
  const bool there = !tokens.ids.empty() && tokens.ids.back() == eos;
  if (add_eos_ && piece.ends && !there) tokens.ids.push_back(eos);
  tokens.supervised.assign(tokens.ids.size(), 1);
  return tokens;
}

MaskedTokens RecordEncoder::encode_completion(const JsonView& record, EncodedRow& row,
                                              RowProblem& stage) const {
  const JsonView prompt = record.at(options_.prompt_key);
  const JsonView completion = record.at(options_.completion_key);
  bool strings = true;
  for (const JsonView& part : {prompt, completion}) {
    if (part.value().if_string() != nullptr) continue;
    if (part.value().if_array() == nullptr)
      part.fail_here("expected a string or a list of messages, seen ",
                     json_kind_name(part.value().kind()));
    check_messages(part);
    strings = false;
  }
  if (const std::string* text = completion.value().if_string(); text != nullptr && text->empty()) {
    stage = RowProblem::nothing_to_learn;
    fail(Status::invalid_data, "'", options_.completion_key, "' is empty");
  }
  row.spells_special = specials_.in(prompt.value()) || specials_.in(completion.value());
  if (strings && options_.chat_template == nullptr) {
    row.round_trip.reset();
    return join(prompt.string(), completion.string());
  }
  const auto tools = record.find(options_.tools_key);
  if (tools) static_cast<void>(tools->size());
  stage = RowProblem::chat_template;
  return encode_turns(as_messages(prompt.value(), "user"),
                      as_messages(completion.value(), "assistant"), tools ? tools->value() : Json(),
                      row);
}

// The prompt's tokens are those that the model will see when it is asked,
// whatever follows.
MaskedTokens RecordEncoder::join(std::string_view prompt, std::string_view completion) const {
  const EncodeOptions options{.add_bos = add_bos_, .parse_special = options_.parse_special};
  const std::vector<int32_t> begin = tokenizer_.encode(prompt, options);
  std::vector<int32_t> all = tokenizer_.encode(concat(prompt, completion), options);
  MaskedTokens tokens;
  append(tokens, begin, options_.supervision == Supervision::everything);
  const auto size = static_cast<ptrdiff_t>(begin.size());
  const bool prefix =
      all.size() >= begin.size() && std::equal(begin.begin(), begin.end(), all.begin());
  if (prefix)
    all.erase(all.begin(), all.begin() + size);
  else
    all = tokenizer_.encode(completion, {.parse_special = options_.parse_special});
  append(tokens, all, true);
  const int32_t eos = tokenizer_.eos_id().value_or(-1);
  if (add_eos_ && (tokens.ids.empty() || tokens.ids.back() != eos))
    append(tokens, std::span(&eos, 1), true);
  return tokens;
}

const ChatTemplate& RecordEncoder::chat_template() const {
  if (options_.chat_template == nullptr)
    fail(Status::invalid_data, "messages need a chat template, seen none");
  return *options_.chat_template;
}

MaskedTokens RecordEncoder::encode_turns(const Json& prompt, const Json& completion,
                                         const Json& tools, EncodedRow& row) const {
  const int64_t in_prompt = assistant_turns(prompt);
  const int64_t in_completion = assistant_turns(completion);
  if (in_completion == 0)
    fail(Status::invalid_data, "expected an assistant's turn in '", options_.completion_key,
         "', seen none");
  Json::Array messages = *prompt.if_array();
  messages.insert(messages.end(), completion.if_array()->begin(), completion.if_array()->end());
  MaskedTokens tokens = encode_chat(Json(std::move(messages)), tools, row);
  if (options_.supervision == Supervision::assistant && in_prompt > 0)
    mask_first_turns(tokens, in_prompt, in_prompt + in_completion);
  return tokens;
}

MaskedTokens RecordEncoder::encode_chat(const Json& messages, const Json& tools,
                                        EncodedRow& row) const {
  const ChatTemplate& chat = chat_template();
  MaskedTokens tokens = chat.encode(tokenizer_, stop_ids_, messages, tools, options_.supervision,
                                    options_.template_variables);
  if (row.round_trip)
    row.round_trip = specials_.spell(tokens.ids) ==
                     chat.render(messages, tools, false, options_.template_variables);
  return tokens;
}

EncodedRow RecordEncoder::encode_text(std::string_view text, TextPiece piece) const {
  EncodedRow row;
  RowProblem stage = RowProblem::invalid_text;
  try {
    if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
      fail(Status::invalid_data, "invalid UTF-8 at byte ", bad);
    if (text.find('\0') != std::string_view::npos)
      fail(Status::invalid_data, "NUL at byte ", text.find('\0'));
    row.spells_special = specials_.in(text);
    stage = RowProblem::nothing_to_learn;
    row.tokens = encode_plain(text, piece);
    check_learnable(row.tokens);
  } catch (const Error& error) {
    if (!is_about_the_row(error)) throw;
    row.problem = stage;
    row.message = error.message();
  }
  return row;
}

EncodedRow RecordEncoder::encode_ids(std::vector<int32_t> ids) const {
  EncodedRow row;
  row.kind = RecordKind::tokens;
  row.tokens.supervised.assign(ids.size(), 1);
  row.tokens.ids = std::move(ids);
  if (row.tokens.ids.size() < 2) {
    row.problem = RowProblem::nothing_to_learn;
    row.message = concat("supervises 0 of ", row.tokens.ids.size(), " tokens");
  }
  return row;
}

} // namespace anet::io
