// Command-line options as a table: the same table parses them, prints --help and, for `train`,
// gives the keys of the configuration file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cli {

struct Option {
  std::string key;   // "learning_rate"; the flag is --learning-rate
  std::string value; // "N"; empty for a switch
  std::string help;
  // A switch gets "true" from its flag, "true" or "false" from a configuration file.
  std::function<void(const std::string&)> apply;
};

struct OptionGroup {
  std::string title;
  std::vector<Option> options;
};

struct CommandLine {
  std::string command; // "train"
  std::string summary;
  std::string operands; // "CHECKPOINT", or empty when the command takes none
  std::vector<OptionGroup> groups;
};

// What an option does with its value. Integers are from 0 to 2147483647 unless a function says
// otherwise; UsageError for others.
using Apply = std::function<void(const std::string&)>;
Apply store(std::string& target);
int32_t parse_count(const char* key, const std::string& text);
template <typename Integer> // or a std::optional of one
Apply store_integer(const char* key, Integer& target) {
  return [key, &target](const std::string& text) {
    target = static_cast<Integer>(parse_count(key, text));
  };
}
Apply store_unsigned(const char* key, uint64_t& target); // of 64 bits
Apply store_number(const char* key, double& target);
Apply store_switch(bool& target); // of an option without a value
// Throws UsageError listing `choices` ("padded|packed") unless the value is one of them.
std::string parse_choice(const std::string& flag, const std::string& choices,
                         const std::string& text);

std::string flag_of(const std::string& key); // "learning_rate" -> "--learning-rate"

const Option* find_option(const CommandLine& line, const std::string& key);
// Throws UsageError: unknown key, with the nearest known one.
const Option& require_option(const CommandLine& line, const std::string& key,
                             const std::string& shown_as, bool as_flag);

// Applies the flags in order and returns what is not a flag. `help` is set, and nothing else done,
// when --help is among them. Throws UsageError.
std::vector<std::string> parse_arguments(const CommandLine& line,
                                         const std::vector<std::string>& arguments, bool& help);

void print_help(const CommandLine& line);

} // namespace cli
