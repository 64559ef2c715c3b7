#include "args.h"
#include "commands.h"
#include "data.h"
#include "json.h"
#include "text.h"
#include "text_source.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace cli {
namespace {

struct TokenizeConfig {
  std::string model;
  TextFlags text;
  std::string given;
  bool has_text = false;
  std::string file;
  std::string output;
  bool ids = false;
  bool decode = false;
  bool special = false;
  bool ranges = false;
  bool json = false;
  bool as_trained = false;
};

CommandLine tokenize_command_line(TokenizeConfig& config) {
  return {"tokenize",
          "Turns text into token ids, one a line with its text, or ids into text.",
          "",
          {{"Options",
            {{"model", "PATH", "whose tokenizer it is", store(config.model)},
             {"tokenizer", "PATH", "tokenizer.json, tokenizer.bin, a model folder; bytes",
              store(config.text.tokenizer)},
             {"text", "TEXT", "(the standard input)",
              [&config](const std::string& value) {
                config.given = value;
                config.has_text = true;
              }},
             {"file", "FILE", "a file of text, or of ids with --decode", store(config.file)},
             {"special", "", "special tokens spelled in the text become their ids",
              store_switch(config.special)},
             {"as_trained", "", "with what the tokenizer itself adds around texts",
              store_switch(config.as_trained)},
             {"ids", "", "print the ids alone, on one line", store_switch(config.ids)},
             {"ranges", "", "print the bytes of the text that each token stands for",
              store_switch(config.ranges)},
             {"json", "", "print one JSON object", store_switch(config.json)},
             {"decode", "", "the input is ids; print their text", store_switch(config.decode)},
             {"output", "FILE.bin", "write a token file for --data: 16-bit ids, 32 above 65536",
              store(config.output)}}}}};
}

std::string input_of(const TokenizeConfig& config) {
  if (config.has_text) return config.given;
  if (!config.file.empty()) return read_text_file(config.file);
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

struct Tokens {
  std::vector<int32_t> ids;
  std::vector<anet_text_range> ranges;
};

Tokens tokenize(const Tokenizer& tokenizer, const std::string& text, uint32_t flags) {
  Tokens tokens;
  size_t count = 0;
  call(anet_tokenizer_encode, tokenizer.get(), text.data(), text.size(), flags, nullptr, size_t{0},
       &count);
  tokens.ids.resize(count);
  tokens.ranges.resize(count);
  call(anet_tokenizer_encode_ranges, tokenizer.get(), text.data(), text.size(), flags,
       tokens.ids.data(), tokens.ranges.data(), count, &count);
  return tokens;
}

std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  static constexpr const char* separators = " \t\r\n,[]";
  for (size_t begin = text.find_first_not_of(separators); begin != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(separators, begin), text.size());
    const int64_t id = parse_integer("--decode", text.substr(begin, end - begin));
    if (id < 0 || id > 0x7fffffff)
      throw UsageError("--decode expects ids, got '" + std::to_string(id) + "'");
    ids.push_back(static_cast<int32_t>(id));
    begin = text.find_first_not_of(separators, end);
  }
  return ids;
}

void write_token_file(const std::string& path, const std::vector<int32_t>& ids,
                      int32_t vocab_size) {
  const int width = vocab_size <= 65536 ? 2 : 4;
  std::string bytes;
  bytes.reserve(ids.size() * static_cast<size_t>(width));
  for (const int32_t id : ids)
    for (int byte = 0; byte < width; ++byte)
      bytes += static_cast<char>((static_cast<uint32_t>(id) >> (8 * byte)) & 0xff);
  write_text_file(path, bytes);
  std::printf("wrote %s: %zu tokens of %d bits\n", path.c_str(), ids.size(), 8 * width);
}

// What a token stands for, on one line.
std::string piece_of(const std::string& text, anet_text_range range) {
  if (range.begin >= range.end) return "(added)";
  const Json piece(cJSON_CreateString(
      text.substr(static_cast<size_t>(range.begin), static_cast<size_t>(range.end - range.begin))
          .c_str()));
  return json_text(piece.get());
}

void print_json(const Tokens& tokens) {
  const Json object = json_object();
  Json ids(cJSON_CreateIntArray(tokens.ids.data(), static_cast<int>(tokens.ids.size())));
  Json ranges = json_array();
  for (const anet_text_range& range : tokens.ranges) {
    Json pair = json_array();
    json_append(pair, Json(cJSON_CreateNumber(static_cast<double>(range.begin))));
    json_append(pair, Json(cJSON_CreateNumber(static_cast<double>(range.end))));
    json_append(ranges, std::move(pair));
  }
  json_set_count(object, "count", tokens.ids.size());
  json_set(object, "ids", std::move(ids));
  json_set(object, "ranges", std::move(ranges));
  std::printf("%s\n", json_text(object.get()).c_str());
}

void print_tokens(const TokenizeConfig& config, const std::string& text, const Tokens& tokens) {
  if (config.json) {
    print_json(tokens);
    return;
  }
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    const anet_text_range range = tokens.ranges[i];
    if (config.ids) {
      std::printf("%s%d", i == 0 ? "" : " ", tokens.ids[i]);
    } else if (config.ranges) {
      std::printf("%6d  %lld-%lld  %s\n", tokens.ids[i], static_cast<long long>(range.begin),
                  static_cast<long long>(range.end), piece_of(text, range).c_str());
    } else {
      std::printf("%6d  %s\n", tokens.ids[i], piece_of(text, range).c_str());
    }
  }
  if (config.ids) std::printf("\n");
}

void print_decoded(const TokenizeConfig& config, const Tokenizer& tokenizer,
                   const std::string& input) {
  const std::string text = decode(tokenizer, parse_ids(input));
  if (config.json) {
    const Json object = json_object();
    json_set(object, "text", text);
    std::printf("%s\n", json_text(object.get()).c_str());
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::printf("\n");
  }
}

} // namespace

int run_tokenize(const Arguments& arguments) {
  TokenizeConfig config;
  const CommandLine line = tokenize_command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (config.model.empty() && config.text.tokenizer.empty())
    throw UsageError("--model or --tokenizer is required");
  if (config.has_text && !config.file.empty())
    throw UsageError("--text and --file exclude each other");
  if (config.decode && !config.output.empty())
    throw UsageError("--decode and --output exclude each other");
  TextFacts facts;
  if (!config.model.empty())
    facts = facts_of_path(resolve_checkpoint(config.model, ANET_CHECKPOINT_LATEST));
  config.text.chat_template = "none";
  const TextSource source = open_text(config.text, facts);
  const Tokenizer& tokenizer = source.require_tokenizer();
  const std::string input = input_of(config);
  if (config.decode) {
    print_decoded(config, tokenizer, input);
    return exit_ok;
  }
  uint32_t flags = 0;
  if (config.special) flags |= ANET_TOKENIZE_PARSE_SPECIAL;
  if (config.as_trained) flags |= ANET_TOKENIZE_AS_TRAINED;
  const Tokens tokens = tokenize(tokenizer, input, flags);
  if (config.output.empty()) {
    print_tokens(config, input, tokens);
  } else {
    write_token_file(config.output, tokens.ids, anet_tokenizer_vocab_size(tokenizer.get()));
  }
  return exit_ok;
}

} // namespace cli
