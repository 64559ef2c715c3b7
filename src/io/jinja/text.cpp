// Values as text: str, repr and json.dumps of Python.
#include "io/jinja/callable.h"
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace anet::io::jinja {
namespace {

void append_hex(std::string& out, uint32_t value, int digits) {
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4)
    out += "0123456789abcdef"[value >> shift & 15];
}

void append_quoted(std::string& out, std::string_view text) {
  const bool doubled =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubled ? '"' : '\'';
  out += quote;
  for (size_t i = 0; i < text.size(); i += character_size(text[i])) {
    const char c = text[i];
    const char32_t character = character_at(text, i);
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(character)) {
      out += text.substr(i, character_size(c));
    } else if (character < 0x100) {
      out += "\\x";
      append_hex(out, character, 2);
    } else if (character < 0x10000) {
      out += "\\u";
      append_hex(out, character, 4);
    } else {
      out += "\\U";
      append_hex(out, character, 8);
    }
  }
  out += quote;
}

class Repr {
public:
  explicit Repr(Runtime& runtime, std::string& out) : runtime_(runtime), out_(out) {}
  void append(const Value& value);

private:
  void append_elements(const std::vector<Value>& elements) {
    for (size_t i = 0; i < elements.size(); ++i) {
      if (i > 0) out_ += ", ";
      append(elements[i]);
    }
  }
  void append_sequence(const Sequence& sequence);
  template <typename Entries>
  void append_entries(const Entries& entries);

  Runtime& runtime_;
  std::string& out_;
  int64_t depth_ = 0;
};

void Repr::append_sequence(const Sequence& sequence) {
  const std::vector<Value>& elements = sequence.elements;
  switch (sequence.flavor) {
  case Sequence::Flavor::list:
    out_ += '[';
    append_elements(elements);
    out_ += ']';
    return;
  case Sequence::Flavor::tuple:
    out_ += '(';
    append_elements(elements);
    out_ += elements.size() == 1 ? ",)" : ")";
    return;
  case Sequence::Flavor::keys:
  case Sequence::Flavor::values:
  case Sequence::Flavor::items:
    out_ += sequence.flavor == Sequence::Flavor::keys     ? "dict_keys(["
            : sequence.flavor == Sequence::Flavor::values ? "dict_values(["
                                                          : "dict_items([";
    append_elements(elements);
    out_ += "])";
    return;
  case Sequence::Flavor::range:
  case Sequence::Flavor::generator:
    runtime_.fail_here("expected a value with a text of its own, seen a generator or range; make "
                       "it a list first");
  }
}

template <typename Entries>
void Repr::append_entries(const Entries& entries) {
  out_ += '{';
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out_ += ", ";
    if constexpr (std::is_same_v<decltype(entries[i].first), std::string>)
      append_quoted(out_, entries[i].first);
    else
      append(entries[i].first);
    out_ += ": ";
    append(entries[i].second);
  }
  out_ += '}';
}

void Repr::append(const Value& value) {
  const DepthGuard guard(runtime_, depth_);
  const size_t begin = out_.size();
  if (value.is_undefined()) {
    out_ += "Undefined";
  } else if (value.is_none()) {
    out_ += "None";
  } else if (const bool* boolean = value.if_boolean()) {
    out_ += *boolean ? "True" : "False";
  } else if (const int64_t* integer = value.if_integer()) {
    out_ += std::to_string(*integer);
  } else if (const double* floating = value.if_floating()) {
    out_ += float_text(*floating);
  } else if (const std::string* text = value.if_string()) {
    runtime_.check_text_size(out_.size() + text->size());
    append_quoted(out_, *text);
  } else if (const Sequence* sequence = value.if_sequence()) {
    append_sequence(*sequence);
  } else if (const Dictionary* dictionary = value.if_dictionary()) {
    append_entries(dictionary->entries);
  } else if (const Namespace* space = value.if_namespace()) {
    out_ += "<Namespace ";
    append_entries(space->attributes);
    out_ += '>';
  } else {
    runtime_.fail_here("expected a value with a text of its own, seen ", kind_name(value));
  }
  runtime_.charge_text(out_.size() - begin);
  runtime_.check_text_size(out_.size());
}

class JsonText {
public:
  JsonText(Runtime& runtime, const JsonFormat& format) : runtime_(runtime), format_(format) {}
  void append(const Value& value);
  std::string take() { return std::move(out_); }

private:
  void append_string(std::string_view text);
  void append_key(const Value& key);
  void append_number(double value);
  void new_line() {
    if (!format_.indent) return;
    runtime_.charge_text(format_.indent->size() * static_cast<size_t>(depth_));
    runtime_.check_text_size(out_.size() + format_.indent->size() * static_cast<size_t>(depth_));
    out_ += '\n';
    for (int64_t i = 0; i < depth_; ++i) out_ += *format_.indent;
  }
  template <typename AppendElement>
  void append_list(char open, char close, size_t count, AppendElement append_element);

  Runtime& runtime_;
  const JsonFormat& format_;
  std::string out_;
  int64_t depth_ = 0;
};

void JsonText::append_string(std::string_view text) {
  runtime_.charge_text(text.size());
  runtime_.check_text_size(out_.size() + text.size());
  out_ += '"';
  const auto escape = [&](uint32_t unit) {
    out_ += "\\u";
    append_hex(out_, unit, 4);
  };
  for (size_t i = 0; i < text.size(); i += character_size(text[i])) {
    const char c = text[i];
    const char32_t character = character_at(text, i);
    constexpr std::string_view plain = "\"\\\n\r\t\f\b", short_names = "\"\\nrtfb";
    if (const size_t known = plain.find(c); known != std::string_view::npos) {
      out_ += '\\';
      out_ += short_names[known];
    } else if (character >= 0x20 && (!format_.ensure_ascii || character < 0x80)) {
      // Python leaves DEL as it is either way.
      out_ += text.substr(i, character_size(c));
    } else if (character < 0x10000) {
      escape(character);
    } else {
      escape(0xD800 + ((character - 0x10000) >> 10));
      escape(0xDC00 + ((character - 0x10000) & 0x3FF));
    }
  }
  out_ += '"';
}

void JsonText::append_number(double value) {
  if (std::isnan(value))
    out_ += "NaN";
  else if (std::isinf(value))
    out_ += value < 0 ? "-Infinity" : "Infinity";
  else
    out_ += float_text(value);
}

void JsonText::append_key(const Value& key) {
  if (const std::string* text = key.if_string()) return append_string(*text);
  if (!key.is_number() && !key.is_none())
    runtime_.fail_here("expected a key that JSON can hold, seen ", kind_name(key));
  out_ += '"';
  append(key);
  out_ += '"';
}

template <typename AppendElement>
void JsonText::append_list(char open, char close, size_t count, AppendElement append_element) {
  out_ += open;
  {
    const DepthGuard guard(runtime_, depth_);
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_ += format_.item_separator;
      new_line();
      append_element(i);
    }
  }
  if (count > 0) new_line();
  out_ += close;
}

void JsonText::append(const Value& value) {
  const size_t begin = out_.size();
  if (value.is_none()) {
    out_ += "null";
  } else if (const bool* boolean = value.if_boolean()) {
    out_ += *boolean ? "true" : "false";
  } else if (const int64_t* integer = value.if_integer()) {
    out_ += std::to_string(*integer);
  } else if (const double* floating = value.if_floating()) {
    append_number(*floating);
  } else if (const std::string* text = value.if_string()) {
    append_string(*text);
  } else if (const Dictionary* dictionary = value.if_dictionary()) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dictionary->entries) entries.push_back(&entry);
    if (format_.sort_keys)
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        return compare(runtime_, a->first, b->first) < 0;
      });
    append_list('{', '}', entries.size(), [&](size_t i) {
      append_key(entries[i]->first);
      out_ += format_.key_separator;
      append(entries[i]->second);
    });
  } else if (const Sequence* sequence = value.if_sequence();
             sequence != nullptr && (sequence->flavor == Sequence::Flavor::list ||
                                     sequence->flavor == Sequence::Flavor::tuple)) {
    append_list('[', ']', sequence->elements.size(),
                [&](size_t i) { append(sequence->elements[i]); });
  } else {
    runtime_.fail_here("expected a value that JSON can hold, seen ", kind_name(value));
  }
  runtime_.charge_text(out_.size() - begin);
  runtime_.check_text_size(out_.size());
}

} // namespace

void append_text(Runtime& runtime, std::string& out, const Value& value) {
  if (const std::string* text = value.if_string()) {
    runtime.charge_text(text->size());
    runtime.check_text_size(out.size() + text->size());
    out += *text;
  } else if (!value.is_undefined()) {
    Repr(runtime, out).append(value);
  }
}

std::string to_text(Runtime& runtime, const Value& value) {
  std::string text;
  append_text(runtime, text, value);
  return text;
}

std::string to_repr(Runtime& runtime, const Value& value) {
  std::string text;
  Repr(runtime, text).append(value);
  return text;
}

std::string to_json(Runtime& runtime, const Value& value, const JsonFormat& format) {
  JsonText text(runtime, format);
  text.append(value);
  return text.take();
}

} // namespace anet::io::jinja
