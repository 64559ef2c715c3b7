// Owned cJSON values. The command writes logs and summaries and reads its configuration with them.
#pragma once

#include <cjson/cJSON.h>

#include <cstdint>
#include <memory>
#include <string>

namespace cli {

struct JsonDelete {
  void operator()(cJSON* value) const { cJSON_Delete(value); }
};
using Json = std::unique_ptr<cJSON, JsonDelete>;

Json json_object();
Json json_array();
void json_append(const Json& array, Json value);
// Throws UsageError naming `origin` and the position of the first error.
Json json_parse(const std::string& text, const std::string& origin);
std::string json_text(const cJSON* value);  // one line
std::string json_lines(const cJSON* value); // indented

void json_set(const Json& object, const char* key, double value);
void json_set(const Json& object, const char* key, const std::string& value);
void json_set(const Json& object, const char* key, const char* value);
void json_set(const Json& object, const char* key, Json value);
// Counts: exact up to 2^53, which no step or token count reaches.
void json_set_count(const Json& object, const char* key, uint64_t value);

void json_set(const Json& object, const char* key, bool value);

double json_number(const cJSON* object, const char* key);      // 0 when absent
std::string json_string(const cJSON* object, const char* key); // "" when absent
uint64_t json_count(const cJSON* object, const char* key);     // 0 when absent
bool json_true(const cJSON* object, const char* key);
Json json_copy(const cJSON* value);

} // namespace cli
