// Formatting: `%` and str.format of Python, and dates.
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace anet::io::jinja {
namespace {

constexpr int64_t widest = 4096; // of a field, and most digits

// One field of either kind.
struct Field {
  char fill = ' ';
  char align = 0; // '<', '>', '^', '=' or 0: by the type
  char sign = '-';
  bool alternative = false; // '#'
  bool grouped = false;     // ','
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

std::string group_thousands(const std::string& digits) {
  const size_t end = std::min(digits.find_first_of(".e"), digits.size());
  std::string result;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % 3 == 0) result += ',';
    result += digits[i];
  }
  return result + digits.substr(end);
}

std::string pad(const Field& field, std::string_view sign, const std::string& body, char align) {
  const auto length = static_cast<int64_t>(count_characters(sign) + count_characters(body));
  const int64_t missing = std::max<int64_t>(field.width - length, 0);
  const auto fill = [&](int64_t count) {
    return std::string(static_cast<size_t>(count), field.fill);
  };
  const std::string text = std::string(sign) + body;
  switch (align) {
  case '<':
    return text + fill(missing);
  case '^':
    return fill(missing / 2) + text + fill(missing - missing / 2);
  case '=':
    return std::string(sign) + fill(missing) + body;
  default:
    return fill(missing) + text;
  }
}

std::string sign_of(const Field& field, bool negative) {
  if (negative) return "-";
  return field.sign == '-' ? "" : std::string(1, field.sign);
}

std::string double_digits(const Runtime& runtime, double value, char type, int64_t precision) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return "inf";
  const bool general = (type | 0x20) == 'g';
  const auto format = (type | 0x20) == 'e' ? std::chars_format::scientific
                      : general            ? std::chars_format::general
                                           : std::chars_format::fixed;
  if (precision < 0) precision = 6;
  if (precision > 300) runtime.fail_here("expected at most 300 digits, seen ", precision);
  if (general && precision == 0) precision = 1;
  std::array<char, 768> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format,
                                    static_cast<int>(precision));
  std::string digits(buffer.data(), result.ptr);
  if (type >= 'A' && type <= 'Z') digits = to_upper(digits);
  return digits;
}

std::string integer_digits(uint64_t magnitude, const Field& field) {
  const char lower = static_cast<char>(field.type | 0x20);
  const int base = lower == 'x' ? 16 : lower == 'o' ? 8 : lower == 'b' ? 2 : 10;
  std::array<char, 65> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, base);
  std::string digits(buffer.data(), result.ptr);
  if (field.alternative && base != 10) digits = std::string("0") + lower + digits;
  return field.type == 'X' ? to_upper(digits) : digits;
}

uint64_t magnitude_of(int64_t value) {
  return value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
}

std::string format_number(Runtime& runtime, const Field& field, const Value& value, char align) {
  const int64_t* integer = value.if_integer();
  const bool* boolean = value.if_boolean();
  const double* floating = value.if_floating();
  const int64_t whole = integer != nullptr ? *integer : boolean != nullptr && *boolean ? 1 : 0;
  std::string digits;
  bool negative = false;
  if (std::string_view("eEfFgG%").find(field.type) != std::string_view::npos) {
    double number = floating != nullptr ? *floating : static_cast<double>(whole);
    negative = std::signbit(number) && !std::isnan(number);
    number = std::abs(number);
    digits = field.type == '%' ? double_digits(runtime, number * 100, 'f', field.precision) + '%'
                               : double_digits(runtime, number, field.type, field.precision);
  } else {
    negative = whole < 0;
    digits = integer_digits(magnitude_of(whole), field);
    if (field.precision > static_cast<int64_t>(digits.size()))
      digits.insert(0, static_cast<size_t>(field.precision) - digits.size(), '0');
  }
  if (field.grouped) digits = group_thousands(digits);
  return pad(field, sign_of(field, negative), digits, align);
}

int64_t read_count(const Runtime& runtime, std::string_view text, size_t& at) {
  int64_t value = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    value = value * 10 + (text[at++] - '0');
    if (value > widest) runtime.fail_here("expected a width of at most ", widest);
  }
  return value;
}

// --- % -------------------------------------------------------------------------------------------

class PercentFormat {
public:
  PercentFormat(Runtime& runtime, std::string_view format, const Value& arguments)
      : runtime_(runtime), format_(format), arguments_(arguments) {
    const Sequence* tuple = arguments.if_sequence();
    if (tuple != nullptr && tuple->flavor == Sequence::Flavor::tuple) tuple_ = &tuple->elements;
  }

  std::string run();

private:
  const Value& next_argument() {
    const size_t count = tuple_ != nullptr ? tuple_->size() : 1;
    if (next_ >= count) runtime_.fail_here("expected more arguments for the format string");
    return tuple_ != nullptr ? (*tuple_)[next_++] : (++next_, arguments_);
  }
  Value named_argument();
  Field read_field();
  std::string convert(Field field, const Value& value);

  Runtime& runtime_;
  std::string_view format_;
  const Value& arguments_;
  const std::vector<Value>* tuple_ = nullptr;
  size_t next_ = 0;
  size_t at_ = 0;
  bool left_ = false;
  bool named_ = false;
};

Value PercentFormat::named_argument() {
  const size_t end = format_.find(')', at_);
  if (end == std::string_view::npos) runtime_.fail_here("expected ')' in the format string");
  const std::string_view name = format_.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  const Dictionary* dictionary = arguments_.if_dictionary();
  if (dictionary == nullptr) runtime_.fail_here("expected a dictionary for the format string");
  const Value* value = dictionary->find(name);
  if (value == nullptr) runtime_.fail_here("the format string's '", name, "' was not given");
  named_ = true;
  return *value;
}

Field PercentFormat::read_field() {
  Field field;
  left_ = false;
  for (; at_ < format_.size(); ++at_) {
    const char c = format_[at_];
    if (c == '-')
      left_ = true;
    else if (c == '+' || (c == ' ' && field.sign != '+'))
      field.sign = c;
    else if (c == '0')
      field.fill = '0';
    else if (c == '#')
      field.alternative = true;
    else
      break;
  }
  field.width = read_count(runtime_, format_, at_);
  if (at_ < format_.size() && format_[at_] == '.') {
    ++at_;
    field.precision = read_count(runtime_, format_, at_);
  }
  if (at_ >= format_.size()) runtime_.fail_here("the format string ends within a field");
  field.type = format_[at_++];
  return field;
}

std::string PercentFormat::convert(Field field, const Value& value) {
  const char zeros = field.fill;
  if (field.type == 's' || field.type == 'r' || field.type == 'c') {
    field.fill = ' ';
    std::string text = field.type == 'r' ? to_repr(runtime_, value) : to_text(runtime_, value);
    if (field.type == 'c' && count_characters(text) != 1)
      runtime_.fail_here("expected one character for '%c'");
    if (field.precision >= 0) text.resize(offset_of(text, static_cast<size_t>(field.precision)));
    return pad(field, "", text, left_ ? '<' : '>');
  }
  if (std::string_view("diuxXoeEfFgG").find(field.type) == std::string_view::npos)
    runtime_.fail_here("expected a conversion that Python has, seen '%", field.type, "'");
  if (value.is_undefined()) runtime_.fail_undefined(value);
  const double* floating = value.if_floating();
  const bool wants_whole = std::string_view("diuxXo").find(field.type) != std::string_view::npos;
  if (!value.is_number() || (floating != nullptr && wants_whole &&
                             std::string_view("xXo").find(field.type) != std::string_view::npos))
    runtime_.fail_here("expected a number for '%", field.type, "', seen ", kind_name(value));
  if (floating != nullptr && wants_whole) {
    if (!(std::abs(*floating) < 9e18)) runtime_.fail_here("expected an integer of 64 bits");
    return convert(field, Value(static_cast<int64_t>(*floating)));
  }
  if (left_) field.fill = ' ';
  return format_number(runtime_, field, value, left_ ? '<' : zeros == '0' ? '=' : '>');
}

std::string PercentFormat::run() {
  std::string result;
  while (at_ < format_.size()) {
    const size_t mark = std::min(format_.find('%', at_), format_.size());
    runtime_.charge_text(mark - at_);
    result += format_.substr(at_, mark - at_);
    at_ = mark + 1;
    if (mark == format_.size()) break;
    if (at_ < format_.size() && format_[at_] == '%') {
      result += '%';
      ++at_;
      continue;
    }
    Value value;
    const bool named = at_ < format_.size() && format_[at_] == '(';
    if (named) value = named_argument();
    const Field field = read_field();
    if (!named) value = next_argument();
    const std::string text = convert(field, value);
    runtime_.charge_text(text.size());
    runtime_.check_text_size(result.size() + text.size());
    result += text;
  }
  const bool complete = tuple_ != nullptr
                            ? next_ == tuple_->size()
                            : next_ == 1 || named_ || arguments_.if_dictionary() != nullptr ||
                                  arguments_.if_sequence() != nullptr;
  if (!complete) runtime_.fail_here("not all arguments were used by the format string");
  return result;
}

// --- {} ------------------------------------------------------------------------------------------

Field read_specification(const Runtime& runtime, std::string_view text) {
  Field field;
  size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (text.size() > 1 && is_align(text[1]) && static_cast<unsigned char>(text[0]) < 0x80) {
    field.fill = text[0];
    field.align = text[1];
    at = 2;
  } else if (!text.empty() && is_align(text[0])) {
    field.align = text[at++];
  }
  const auto next = [&](std::string_view choices) {
    return at < text.size() && choices.find(text[at]) != std::string_view::npos;
  };
  if (next("+- ")) field.sign = text[at++];
  if (next("#")) field.alternative = text[at++] == '#';
  if (next("0")) {
    if (field.align == 0) {
      field.fill = '0';
      field.align = '=';
    }
    ++at;
  }
  field.width = read_count(runtime, text, at);
  if (next(",")) field.grouped = text[at++] == ',';
  if (next(".")) {
    ++at;
    if (!next("0123456789")) runtime.fail_here("expected digits behind '.' of a format");
    field.precision = read_count(runtime, text, at);
  }
  if (next("sdbxXoeEfFgG%")) field.type = text[at++];
  if (at != text.size())
    runtime.fail_here("expected a format of fill, sign, width, precision and type, seen '",
                      text.substr(0, 40), "'");
  return field;
}

std::string format_value(Runtime& runtime, const Value& value, std::string_view specification) {
  if (specification.empty()) return to_text(runtime, value);
  Field field = read_specification(runtime, specification);
  const bool* boolean = value.if_boolean();
  if (value.if_string() != nullptr || (boolean != nullptr && field.type == 's')) {
    if ((field.type != 0 && field.type != 's') || field.align == '=' || field.grouped)
      runtime.fail_here("expected a format that fits ", kind_name(value), ", seen '",
                        specification.substr(0, 40), "'");
    std::string text = to_text(runtime, value);
    if (field.precision >= 0) text.resize(offset_of(text, static_cast<size_t>(field.precision)));
    return pad(field, "", text, field.align == 0 ? '<' : field.align);
  }
  if (!value.is_number() || field.type == 's')
    runtime.fail_here("expected a string or number for a format, seen ", kind_name(value));
  const bool is_float = value.if_floating() != nullptr;
  const bool wants_whole = std::string_view("dbxXo").find(field.type) != std::string_view::npos;
  if (is_float && field.type == 0) {
    if (field.precision >= 0)
      runtime.fail_here("expected a type behind the precision of a format, seen none");
    const double number = *value.if_floating();
    std::string digits = float_text(std::abs(number));
    if (field.grouped) digits = group_thousands(digits);
    return pad(field, sign_of(field, std::signbit(number)), digits,
               field.align == 0 ? '>' : field.align);
  }
  if ((is_float && wants_whole) ||
      (!is_float && field.precision >= 0 && (field.type == 0 || wants_whole)))
    runtime.fail_here("expected a format that fits ", kind_name(value), ", seen '",
                      specification.substr(0, 40), "'");
  return format_number(runtime, field, value, field.align == 0 ? '>' : field.align);
}

// What "{name}" and "{0}" stand for; `automatic` counts the "{}".
const Value& braces_argument(const Runtime& runtime, std::string_view name,
                             const Arguments& arguments, size_t& automatic) {
  size_t index = automatic;
  if (!name.empty()) {
    const auto result = std::from_chars(name.data(), name.data() + name.size(), index);
    if (result.ec != std::errc() || result.ptr != name.data() + name.size()) {
      for (const auto& [known, value] : arguments.named)
        if (known == name) return value;
      runtime.fail_here("the format string's '", name.substr(0, 40), "' was not given");
    }
  } else {
    ++automatic;
  }
  if (index >= arguments.positional.size())
    runtime.fail_here("expected more arguments for the format string");
  return arguments.positional[index];
}

// --- Dates ---------------------------------------------------------------------------------------

constexpr std::array<std::string_view, 12> months = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> days = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                  "Thursday", "Friday", "Saturday"};

std::string padded(int value, size_t width, char fill = '0') {
  std::string digits = std::to_string(value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), fill);
  return digits;
}

std::string date_part(Runtime& runtime, char code, bool bare, const std::tm& date) {
  const auto number = [&](int value, size_t width, char fill = '0') {
    return padded(value, bare ? 1 : width, fill);
  };
  const auto month = months[static_cast<size_t>(std::clamp(date.tm_mon, 0, 11))];
  const auto day = days[static_cast<size_t>(std::clamp(date.tm_wday, 0, 6))];
  const int hour12 = date.tm_hour % 12 == 0 ? 12 : date.tm_hour % 12;
  switch (code) {
  case 'a':
    return std::string(day.substr(0, 3));
  case 'A':
    return std::string(day);
  case 'b':
  case 'h':
    return std::string(month.substr(0, 3));
  case 'B':
    return std::string(month);
  case 'd':
    return number(date.tm_mday, 2);
  case 'e':
    return number(date.tm_mday, 2, ' ');
  case 'H':
    return number(date.tm_hour, 2);
  case 'I':
    return number(hour12, 2);
  case 'j':
    return number(date.tm_yday + 1, 3);
  case 'm':
    return number(date.tm_mon + 1, 2);
  case 'M':
    return number(date.tm_min, 2);
  case 'p':
    return date.tm_hour < 12 ? "AM" : "PM";
  case 'S':
    return number(date.tm_sec, 2);
  case 'u':
    return std::to_string(date.tm_wday == 0 ? 7 : date.tm_wday);
  case 'w':
    return std::to_string(date.tm_wday);
  case 'y':
    return number((date.tm_year % 100 + 100) % 100, 2);
  case 'Y':
    return std::to_string(date.tm_year + 1900);
  case 'D':
    return format_date(runtime, "%m/%d/%y", date);
  case 'F':
    return format_date(runtime, "%Y-%m-%d", date);
  case 'R':
    return format_date(runtime, "%H:%M", date);
  case 'T':
    return format_date(runtime, "%H:%M:%S", date);
  case 'n':
    return "\n";
  case 't':
    return "\t";
  case '%':
    return "%";
  default:
    fail_at(runtime.position, Status::unsupported,
            concat("strftime_now('%", code, "') is not offered"));
  }
}

} // namespace

std::string format_percent(Runtime& runtime, std::string_view format, const Value& arguments) {
  return PercentFormat(runtime, format, arguments).run();
}

std::string format_braces(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  std::string result;
  size_t automatic = 0;
  for (size_t at = 0; at < format.size();) {
    const size_t mark = std::min(format.find_first_of("{}", at), format.size());
    runtime.charge_text(mark - at);
    result += format.substr(at, mark - at);
    at = mark + 1;
    if (mark == format.size()) break;
    const char brace = format[mark];
    if (at < format.size() && format[at] == brace) {
      result += brace;
      ++at;
      continue;
    }
    const size_t end = format.find_first_of("{}", at);
    if (brace == '}' || end == std::string_view::npos || format[end] == '{')
      runtime.fail_here("expected a format string with matching braces and no nested fields");
    const std::string_view field = format.substr(at, end - at);
    at = end + 1;
    const size_t colon = std::min(field.find(':'), field.size());
    std::string_view name = field.substr(0, colon);
    bool repr = false;
    if (name.ends_with("!r") || name.ends_with("!s")) {
      repr = name.ends_with("!r");
      name.remove_suffix(2);
    }
    if (name.find_first_of(".[!") != std::string_view::npos)
      fail_at(runtime.position, Status::unsupported,
              "attributes in the fields of a format string are not offered");
    const Value& value = braces_argument(runtime, name, arguments, automatic);
    const std::string_view specification =
        colon < field.size() ? field.substr(colon + 1) : std::string_view();
    const std::string text =
        repr ? format_value(runtime, runtime.text(to_repr(runtime, value)), specification)
             : format_value(runtime, value, specification);
    runtime.charge_text(text.size());
    runtime.check_text_size(result.size() + text.size());
    result += text;
  }
  return result;
}

std::string format_date(Runtime& runtime, std::string_view format, const std::tm& date) {
  runtime.charge_text(format.size());
  std::string result;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      result += format[i];
      continue;
    }
    const bool bare = format[++i] == '-' && i + 1 < format.size();
    if (bare) ++i;
    result += date_part(runtime, format[i], bare, date);
  }
  runtime.check_text_size(result.size());
  return result;
}

} // namespace anet::io::jinja
