#include "json.h"

#include "handles.h"

#include <algorithm>

namespace cli {

Json json_object() { return Json(cJSON_CreateObject()); }
Json json_array() { return Json(cJSON_CreateArray()); }
void json_append(const Json& array, Json value) {
  cJSON_AddItemToArray(array.get(), value.release());
}
Json json_copy(const cJSON* value) { return Json(cJSON_Duplicate(value, 1)); }

Json json_parse(const std::string& text, const std::string& origin) {
  const char* end = nullptr;
  Json value(cJSON_ParseWithLengthOpts(text.c_str(), text.size() + 1, &end, 1));
  if (value) return value;
  const auto position = text.begin() + (end == nullptr ? 0 : end - text.c_str());
  const auto line = std::count(text.begin(), position, '\n') + 1;
  throw UsageError(origin + ": not valid JSON at line " + std::to_string(line));
}

static std::string printed(char* text) {
  std::string copy = text == nullptr ? "" : text;
  cJSON_free(text);
  return copy;
}

std::string json_text(const cJSON* value) { return printed(cJSON_PrintUnformatted(value)); }
std::string json_lines(const cJSON* value) { return printed(cJSON_Print(value)); }

void json_set(const Json& object, const char* key, double value) {
  cJSON_AddNumberToObject(object.get(), key, value);
}

void json_set(const Json& object, const char* key, const std::string& value) {
  // A string of cJSON would end at a NUL, which a model may write.
  std::string text;
  for (const char c : value) text += c == '\0' ? "\xef\xbf\xbd" : std::string(1, c);
  cJSON_AddStringToObject(object.get(), key, text.c_str());
}

void json_set(const Json& object, const char* key, Json value) {
  cJSON_AddItemToObject(object.get(), key, value.release());
}

void json_set(const Json& object, const char* key, const char* value) {
  cJSON_AddStringToObject(object.get(), key, value);
}

void json_set(const Json& object, const char* key, bool value) {
  cJSON_AddBoolToObject(object.get(), key, value ? 1 : 0);
}

void json_set_count(const Json& object, const char* key, uint64_t value) {
  cJSON_AddNumberToObject(object.get(), key, static_cast<double>(value));
}

double json_number(const cJSON* object, const char* key) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

std::string json_string(const cJSON* object, const char* key) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsString(item) ? item->valuestring : "";
}

uint64_t json_count(const cJSON* object, const char* key) {
  const double value = json_number(object, key);
  return value > 0 ? static_cast<uint64_t>(value) : 0;
}

bool json_true(const cJSON* object, const char* key) {
  return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key)) != 0;
}

} // namespace cli
