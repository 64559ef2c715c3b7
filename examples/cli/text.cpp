#include "text.h"

#include "handles.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace cli {

std::string format_number(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

static std::string scaled(double value, double base, const std::array<const char*, 5>& units) {
  size_t unit = 0;
  while (value >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  const std::string number = format_number(value, unit == 0 || value >= 100 ? 0 : 1);
  return *units[unit] == '\0' ? number : number + " " + units[unit];
}

std::string exact_number(double value) {
  std::array<char, 64> text{};
  for (const int digits : {15, 16, 17}) {
    std::snprintf(text.data(), text.size(), "%.*g", digits, value);
    if (std::strtod(text.data(), nullptr) == value) break;
  }
  return text.data();
}

std::string format_bytes(uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024, {"B", "KB", "MB", "GB", "TB"});
}

std::string format_count(uint64_t count) {
  return scaled(static_cast<double>(count), 1000, {"", "K", "M", "G", "T"});
}

std::string format_duration(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  std::array<char, 64> text{};
  if (total >= 3600) {
    std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld",
                  static_cast<long long>(total / 3600), static_cast<long long>(total / 60 % 60),
                  static_cast<long long>(total % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%lld:%02lld", static_cast<long long>(total / 60),
                  static_cast<long long>(total % 60));
  }
  return text.data();
}

int64_t parse_integer(const std::string& option, const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || errno != 0) {
    throw UsageError(option + " expects an integer, got '" + text + "'");
  }
  return value;
}

uint64_t parse_unsigned(const std::string& option, const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  throw UsageError(option + " expects a number from 0 to 18446744073709551615, got '" + text + "'");
}

double parse_number(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) {
    throw UsageError(option + " expects a number, got '" + text + "'");
  }
  return value;
}

uint64_t parse_bytes(const std::string& option, const std::string& text) {
  static constexpr std::string_view suffixes = "KMGT";
  std::string digits = text;
  double factor = 1;
  if (!text.empty()) {
    const size_t power = suffixes.find(static_cast<char>(std::toupper(text.back())));
    if (power != std::string_view::npos) {
      factor = std::pow(1024.0, static_cast<double>(power + 1));
      digits.pop_back();
    }
  }
  const double bytes = parse_number(option, digits) * factor;
  if (bytes < 0 || bytes > 0x1p63) {
    throw UsageError(option + " expects a size such as 2G or 512M, got '" + text + "'");
  }
  return static_cast<uint64_t>(bytes);
}

// Levenshtein's distance, row by row.
static size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 2);
  for (const std::string& name : names) {
    const size_t distance = edit_distance(word, name);
    if (distance < best_distance || (best.empty() && distance == best_distance)) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
    if (control) {
      result += "\u00b7";
    } else {
      result += c;
    }
  }
  return result;
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure(ANET_E_FILE_NOT_FOUND, "cannot open '" + path + "'");
  if (std::filesystem::is_directory(path))
    throw Failure(ANET_E_IO, "expected a file, seen a directory '" + path + "'");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_text_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.flush();
  if (!file) throw Failure(ANET_E_IO, "cannot write '" + path + "'");
}

} // namespace cli
