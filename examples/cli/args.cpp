#include "args.h"

#include "handles.h"
#include "text.h"

#include <algorithm>
#include <cstdio>

namespace cli {

Apply store(std::string& target) {
  return [&target](const std::string& text) { target = text; };
}

int32_t parse_count(const char* key, const std::string& text) {
  const int64_t value = parse_integer(flag_of(key), text);
  if (value >= 0 && value <= 0x7fffffff) return static_cast<int32_t>(value);
  throw UsageError(flag_of(key) + " expects a number from 0 to 2147483647, got '" + text + "'");
}

Apply store_unsigned(const char* key, uint64_t& target) {
  return [key, &target](const std::string& text) { target = parse_unsigned(flag_of(key), text); };
}

Apply store_number(const char* key, double& target) {
  return [key, &target](const std::string& text) { target = parse_number(flag_of(key), text); };
}

Apply store_switch(bool& target) {
  return [&target](const std::string& text) { target = text == "true"; };
}

std::string parse_choice(const std::string& flag, const std::string& choices,
                         const std::string& text) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= choices.size();) {
    const size_t end = std::min(choices.find('|', begin), choices.size());
    names.push_back(choices.substr(begin, end - begin));
    begin = end + 1;
  }
  if (std::find(names.begin(), names.end(), text) != names.end()) return text;
  const std::string guess = nearest(text, names);
  throw UsageError(flag + " expects one of " + choices + ", got '" + text + "'" +
                   (guess.empty() ? "" : ", did you mean '" + guess + "'?"));
}

std::string flag_of(const std::string& key) {
  std::string flag = "--" + key;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

const Option* find_option(const CommandLine& line, const std::string& key) {
  for (const OptionGroup& group : line.groups) {
    for (const Option& option : group.options) {
      if (option.key == key) return &option;
    }
  }
  return nullptr;
}

const Option& require_option(const CommandLine& line, const std::string& key,
                             const std::string& shown_as, bool as_flag) {
  if (const Option* option = find_option(line, key)) return *option;
  std::vector<std::string> names;
  for (const OptionGroup& group : line.groups) {
    for (const Option& option : group.options) names.push_back(option.key);
  }
  std::string text = "unknown " + std::string(as_flag ? "option " : "key ") + shown_as;
  const std::string guess = nearest(key, names);
  if (!guess.empty()) text += ", did you mean " + (as_flag ? flag_of(guess) : guess) + "?";
  throw UsageError(text);
}

static std::string key_of(std::string flag) {
  flag.erase(0, 2);
  std::replace(flag.begin(), flag.end(), '-', '_');
  return flag;
}

std::vector<std::string> parse_arguments(const CommandLine& line,
                                         const std::vector<std::string>& arguments, bool& help) {
  help = std::any_of(arguments.begin(), arguments.end(),
                     [](const std::string& word) { return word == "--help" || word == "-h"; });
  std::vector<std::string> operands;
  for (size_t i = 0; i < arguments.size() && !help; ++i) {
    const std::string& word = arguments[i];
    if (word.rfind("--", 0) != 0) {
      operands.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const std::string flag = word.substr(0, equals);
    const Option& option = require_option(line, key_of(flag), flag, true);
    if (option.value.empty()) {
      if (equals != std::string::npos) throw UsageError(flag + " takes no value");
      option.apply("true");
    } else if (equals != std::string::npos) {
      option.apply(word.substr(equals + 1));
    } else if (i + 1 < arguments.size()) {
      option.apply(arguments[++i]);
    } else {
      throw UsageError(flag + " expects a value (" + option.value + ")");
    }
  }
  if (line.operands.empty() && !operands.empty()) {
    throw UsageError("unexpected argument '" + operands.front() + "'");
  }
  return operands;
}

void print_help(const CommandLine& line) {
  const char* space = line.operands.empty() ? "" : " ";
  std::printf("usage: ane-train %s%s%s [options]\n\n%s\n", line.command.c_str(), space,
              line.operands.c_str(), line.summary.c_str());
  for (const OptionGroup& group : line.groups) {
    std::printf("\n%s\n", group.title.c_str());
    for (const Option& option : group.options) {
      const std::string left =
          flag_of(option.key) + (option.value.empty() ? "" : " " + option.value);
      constexpr size_t width = 34;
      const bool own_line = left.size() > width;
      if (own_line) std::printf("  %s\n", left.c_str());
      std::printf("  %-34s %s\n", own_line ? "" : left.c_str(), option.help.c_str());
    }
  }
}

} // namespace cli
