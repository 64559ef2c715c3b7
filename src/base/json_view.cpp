#include "base/json.h"

#include <algorithm>
#include <numeric>

namespace anet {
namespace {

// Levenshtein: insertions, deletions and substitutions, each of cost 1.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1); // distances of a prefix of a to all prefixes of b
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

} // namespace

std::optional<std::string_view> nearest_key(std::string_view unknown,
                                            std::span<const std::string_view> known) {
  std::optional<std::string_view> nearest;
  size_t least = 0;
  for (const std::string_view key : known) {
    const size_t distance = edit_distance(unknown, key);
    if (distance * 3 > std::max(key.size(), size_t{3})) continue;
    if (nearest && distance >= least) continue;
    nearest = key;
    least = distance;
  }
  return nearest;
}

// "expected a number at 'optimizer.beta1', seen a string"
void JsonView::fail_kind(std::string_view expected) const {
  fail(status_, "expected ", expected, " at ", place(), ", seen ", json_kind_name(value_->kind()));
}

std::string JsonView::place() const {
  return path_.empty() ? "the top level" : concat("'", path_, "'");
}

JsonView JsonView::child(std::string_view key, const Json& value) const {
  return JsonView(value, status_, concat(path_, path_.empty() ? "" : ".", key));
}

bool JsonView::boolean() const {
  const bool* value = value_->if_boolean();
  if (value == nullptr) fail_kind("a boolean");
  return *value;
}

double JsonView::number() const {
  const std::optional<double> value = value_->to_double();
  if (!value) fail_kind("a number");
  return *value;
}

int64_t JsonView::integer() const {
  const std::optional<int64_t> value = value_->to_int64();
  if (value) return *value;
  if (value_->kind() != Json::Kind::number) fail_kind("an integer");
  fail(status_, "expected a 64-bit integer at ", place(), ", seen ", value_->to_string());
}

int64_t JsonView::integer(int64_t minimum, int64_t maximum) const {
  const int64_t value = integer();
  if (value < minimum || value > maximum)
    fail(status_, "expected an integer from ", minimum, " to ", maximum, " at ", place(), ", seen ",
         value);
  return value;
}

uint64_t JsonView::unsigned_integer() const {
  const std::optional<uint64_t> value = value_->to_uint64();
  if (value) return *value;
  if (value_->kind() != Json::Kind::number) fail_kind("an integer");
  fail(status_, "expected an unsigned 64-bit integer at ", place(), ", seen ", value_->to_string());
}

const std::string& JsonView::string() const {
  const std::string* value = value_->if_string();
  if (value == nullptr) fail_kind("a string");
  return *value;
}

size_t JsonView::size() const {
  const Json::Array* values = value_->if_array();
  if (values == nullptr) fail_kind("an array");
  return values->size();
}

JsonView JsonView::at(size_t index) const {
  if (index >= size())
    fail(status_, "expected more than ", index, " elements at ", place(), ", seen ", size());
  return JsonView((*value_->if_array())[index], status_, concat(path_, "[", index, "]"));
}

std::vector<int64_t> JsonView::integers() const {
  std::vector<int64_t> result(size());
  for (size_t i = 0; i < result.size(); ++i) result[i] = at(i).integer();
  return result;
}

std::vector<std::string> JsonView::strings() const {
  std::vector<std::string> result(size());
  for (size_t i = 0; i < result.size(); ++i) result[i] = at(i).string();
  return result;
}

const Json::Object& JsonView::members() const {
  const Json::Object* members = value_->if_object();
  if (members == nullptr) fail_kind("an object");
  return *members;
}

JsonView JsonView::at(std::string_view key) const {
  members();
  const Json* value = value_->find(key);
  if (value == nullptr) fail(status_, "expected a key '", key, "' at ", place(), ", seen none");
  return child(key, *value);
}

std::optional<JsonView> JsonView::find(std::string_view key) const {
  members();
  const Json* value = value_->find(key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return child(key, *value);
}

bool JsonView::boolean_or(std::string_view key, bool fallback) const {
  const std::optional<JsonView> value = find(key);
  return value ? value->boolean() : fallback;
}

double JsonView::number_or(std::string_view key, double fallback) const {
  const std::optional<JsonView> value = find(key);
  return value ? value->number() : fallback;
}

int64_t JsonView::integer_or(std::string_view key, int64_t fallback) const {
  const std::optional<JsonView> value = find(key);
  return value ? value->integer() : fallback;
}

std::string JsonView::string_or(std::string_view key, std::string_view fallback) const {
  const std::optional<JsonView> value = find(key);
  return value ? value->string() : std::string(fallback);
}

void JsonView::check_keys(std::span<const std::string_view> known) const {
  for (const JsonMember& member : members()) {
    if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
    const std::string name = child(member.key, member.value).path();
    const std::optional<std::string_view> nearest = nearest_key(member.key, known);
    if (nearest) fail(status_, "unknown key '", name, "', did you mean '", *nearest, "'");
    fail(status_, "unknown key '", name, "'");
  }
}

void JsonView::check_keys(std::initializer_list<std::string_view> known) const {
  check_keys(std::span(known.begin(), known.size()));
}

} // namespace anet
