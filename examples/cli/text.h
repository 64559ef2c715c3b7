// Numbers for people, and the small string helpers that several commands share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

std::string format_number(double value, int decimals);
std::string exact_number(double value);      // "0.1": as short as reads back the same
std::string format_bytes(uint64_t bytes);    // "12.5 MB"
std::string format_count(uint64_t count);    // "15.2 M"
std::string format_duration(double seconds); // "1:05", "2:03:10"

// Throw UsageError naming the option.
int64_t parse_integer(const std::string& option, const std::string& text);
uint64_t parse_unsigned(const std::string& option, const std::string& text); // of 64 bits
double parse_number(const std::string& option, const std::string& text);
uint64_t parse_bytes(const std::string& option, const std::string& text); // "2G", "512M", "1000"

// The name closest to `word`, or "" when none is close.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

// Text of a model for a terminal: control characters, which could command it, become U+00B7.
// Line breaks and tabs stay.
std::string printable(std::string_view text);

std::string read_text_file(const std::string& path);
void write_text_file(const std::string& path, const std::string& text);

} // namespace cli
