// `generate --prompts`: many prompts at once, as JSONL.
#include "commands.h"
#include "json.h"
#include "text.h"
#include "writer.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace cli {
namespace {

struct Prompt {
  std::string shown;
  std::vector<int32_t> ids;
};

struct Batch {
  std::vector<std::string> texts;

  static int32_t on_token(size_t index, int32_t, const char* text, size_t length, void* user_data) {
    static_cast<Batch*>(user_data)->texts[index].append(text, length);
    return 0;
  }
};

// A line that begins with a brace is an object with "prompt" or "messages".
Prompt read_prompt(const Writer& writer, const GenerateConfig& config, const std::string& line,
                   const std::string& place) {
  if (line.front() != '{') return {line, encode_given(writer, config, line)};
  const Json record = json_parse(line, place);
  const cJSON* messages = cJSON_GetObjectItemCaseSensitive(record.get(), "messages");
  if (cJSON_IsArray(messages)) {
    const std::string text = json_text(messages);
    return {text, encode_chat(writer.text, text, config.template_variables)};
  }
  const cJSON* prompt = cJSON_GetObjectItemCaseSensitive(record.get(), "prompt");
  if (!cJSON_IsString(prompt))
    throw Failure(ANET_E_INVALID_DATA, "expected \"prompt\", a text, or \"messages\"");
  return {prompt->valuestring, encode_given(writer, config, prompt->valuestring)};
}

std::vector<Prompt> read_prompts(const Writer& writer, const GenerateConfig& config) {
  std::ifstream file(config.prompts, std::ios::binary);
  if (!file) throw Failure(ANET_E_FILE_NOT_FOUND, "cannot open '" + config.prompts + "'");
  std::vector<Prompt> prompts;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::string place = config.prompts + ":" + std::to_string(number);
    try {
      prompts.push_back(read_prompt(writer, config, line, place));
    } catch (const Failure& failure) {
      throw Failure(failure.status, place + ": " + failure.what());
    }
  }
  if (prompts.empty()) throw Failure(ANET_E_INVALID_DATA, config.prompts + ": there is no prompt");
  return prompts;
}

void print_result(const Prompt& prompt, const std::string& text,
                  const anet_generation_result& result) {
  const Json object = json_object();
  json_set(object, "prompt", prompt.shown);
  json_set(object, "text", text);
  json_set_count(object, "prompt_tokens", result.prompt_tokens);
  json_set_count(object, "tokens", result.generated_tokens);
  json_set(object, "finish", finish_name(result.finish_reason));
  std::printf("%s\n", json_text(object.get()).c_str());
}

} // namespace

int run_prompts(const GenerateConfig& config) {
  const Writer writer = open_writer(config);
  const std::vector<Prompt> prompts = read_prompts(writer, config);
  const anet_sampling_options sampling = sampling_options(config, writer.text.stop_ids);
  const auto batch_size = static_cast<size_t>(std::max<int64_t>(1, config.batch_size));
  const InterruptGuard guard(writer.generator.get());
  for (size_t first = 0; first < prompts.size(); first += batch_size) {
    const size_t count = std::min(batch_size, prompts.size() - first);
    Batch batch{std::vector<std::string>(count)};
    std::vector<anet_prompt> given;
    for (size_t i = first; i < first + count; ++i)
      given.push_back({prompts[i].ids.data(), prompts[i].ids.size(), config.seed + i});
    std::vector<anet_generation_result> results(count, initialised<anet_generation_result>());
    try {
      call(anet_generator_generate_batch, writer.generator.get(), given.data(), count, &sampling,
           Batch::on_token, static_cast<void*>(&batch), results.data());
    } catch (const Failure& failure) {
      if (failure.status == ANET_E_CANCELLED) return exit_interrupted;
      throw;
    }
    for (size_t i = 0; i < count; ++i) print_result(prompts[first + i], batch.texts[i], results[i]);
  }
  return exit_ok;
}

} // namespace cli
