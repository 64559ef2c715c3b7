#include "base/json.h"

#include "base/utf8.h"

#include <charconv>
#include <cmath>

namespace anet {
namespace {

void write_string(std::string& out, std::string_view text) {
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    fail(Status::invalid_argument, "expected UTF-8 text for JSON, seen an invalid byte at offset ",
         bad);
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte == 0) {
      fail(Status::invalid_argument, "expected text without NUL for JSON");
    } else if (byte < 0x20) {
      out += "\\u00";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

template <typename Number>
void write_number(std::string& out, Number value) {
  char digits[32];
  const auto result = std::to_chars(digits, digits + sizeof(digits), value);
  out.append(digits, result.ptr);
}

void write_double(std::string& out, double value) {
  if (!std::isfinite(value))
    fail(Status::invalid_argument, "expected a finite number for JSON, seen ", value);
  const size_t begin = out.size();
  write_number(out, value); // the shortest digits that read back equal
  // A double stays one: 1 would come back as an integer.
  if (out.find_first_of(".e", begin) == std::string::npos) out += ".0";
}

class JsonWriter {
public:
  explicit JsonWriter(int indent) : indent_(indent) {}
  void write(const Json& value);
  std::string take() { return std::move(out_); }

private:
  void new_line() {
    if (indent_ == 0) return;
    out_ += '\n';
    out_.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth_), ' ');
  }
  // write_item(i) for each of `count`, between the brackets.
  template <typename WriteItem>
  void write_list(char open, char close, size_t count, WriteItem write_item) {
    out_ += open;
    ++depth_;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_ += ',';
      new_line();
      write_item(i);
    }
    --depth_;
    if (count > 0) new_line();
    out_ += close;
  }

  std::string out_;
  int indent_;
  int depth_ = 0;
};

void JsonWriter::write(const Json& value) {
  switch (value.kind()) {
  case Json::Kind::null:
    out_ += "null";
    return;
  case Json::Kind::boolean:
    out_ += *value.if_boolean() ? "true" : "false";
    return;
  case Json::Kind::string:
    write_string(out_, *value.if_string());
    return;
  case Json::Kind::number:
    if (const auto integer = value.to_int64())
      write_number(out_, *integer);
    else if (const auto positive = value.to_uint64())
      write_number(out_, *positive);
    else
      write_double(out_, *value.to_double());
    return;
  case Json::Kind::array: {
    const Json::Array& items = *value.if_array();
    write_list('[', ']', items.size(), [&](size_t i) { write(items[i]); });
    return;
  }
  case Json::Kind::object: {
    const Json::Object& members = *value.if_object();
    write_list('{', '}', members.size(), [&](size_t i) {
      write_string(out_, members[i].key);
      out_ += indent_ == 0 ? ":" : ": ";
      write(members[i].value);
    });
    return;
  }
  }
}

} // namespace

Json::Json() = default;
Json::Json(std::nullptr_t) {}
Json::Json(bool value) : value_(value) {}
Json::Json(double value) : value_(value) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(std::string_view value) : value_(std::string(value)) {}
Json::Json(const char* value) : value_(std::string(value)) {}
Json::Json(Array values) : value_(std::move(values)) {}
Json::Json(Object members) : value_(std::move(members)) {}
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;

void Json::assign(int64_t value) { value_ = value; }
void Json::assign(uint64_t value) { value_ = value; }

bool Json::operator==(const Json& other) const { return value_ == other.value_; }

Json Json::array() { return Json(Array()); }

Json Json::object() { return Json(Object()); }

Json::Kind Json::kind() const {
  switch (value_.index()) {
  case 0:
    return Kind::null;
  case 1:
    return Kind::boolean;
  case 5:
    return Kind::string;
  case 6:
    return Kind::array;
  case 7:
    return Kind::object;
  default:
    return Kind::number;
  }
}

std::optional<int64_t> Json::to_int64() const {
  if (const auto* value = std::get_if<int64_t>(&value_)) return *value;
  return std::nullopt; // the unsigned alternative holds only what does not fit
}

std::optional<uint64_t> Json::to_uint64() const {
  if (const auto* value = std::get_if<uint64_t>(&value_)) return *value;
  const auto* value = std::get_if<int64_t>(&value_);
  if (value != nullptr && *value >= 0) return static_cast<uint64_t>(*value);
  return std::nullopt;
}

std::optional<double> Json::to_double() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<uint64_t>(&value_)) return static_cast<double>(*value);
  return std::nullopt;
}

const Json* Json::find(std::string_view key) const {
  const Object* members = if_object();
  if (members == nullptr) return nullptr;
  for (const JsonMember& member : *members)
    if (member.key == key) return &member.value;
  return nullptr;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object();
  auto* members = std::get_if<Object>(&value_);
  if (members == nullptr)
    fail(Status::invalid_state, "expected an object to set '", key, "' in, seen ",
         json_kind_name(kind()));
  for (JsonMember& member : *members) {
    if (member.key != key) continue;
    member.value = std::move(value);
    return *this;
  }
  members->push_back({std::string(key), std::move(value)});
  return *this;
}

Json& Json::push_back(Json value) {
  if (is_null()) value_ = Array();
  auto* values = std::get_if<Array>(&value_);
  if (values == nullptr)
    fail(Status::invalid_state, "expected an array to append to, seen ", json_kind_name(kind()));
  values->push_back(std::move(value));
  return *this;
}

std::string Json::to_string(int indent) const {
  JsonWriter writer(indent);
  writer.write(*this);
  return writer.take();
}

const char* json_kind_name(Json::Kind kind) {
  switch (kind) {
  case Json::Kind::null:
    return "null";
  case Json::Kind::boolean:
    return "a boolean";
  case Json::Kind::number:
    return "a number";
  case Json::Kind::string:
    return "a string";
  case Json::Kind::array:
    return "an array";
  case Json::Kind::object:
    return "an object";
  }
  return "an unknown value";
}

} // namespace anet
