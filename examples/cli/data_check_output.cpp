#include "corpus.h"
#include "data_check.h"
#include "text.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>
#include <utility>

namespace cli {
namespace {

std::string percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "0 %";
  return format_number(100.0 * static_cast<double>(part) / static_cast<double>(whole), 1) + " %";
}

// "12 000 (1.3 %)" without a part that is nothing.
std::string share(uint64_t part, uint64_t whole) {
  return std::to_string(part) + (part > 0 ? " (" + percent(part, whole) + ")" : "");
}

void line(const char* name, const std::string& value) {
  std::printf("  %-22s %s\n", name, value.c_str());
}

std::string indented(const std::string& text, const char* space) {
  std::string result;
  for (const char c : text) {
    result += c;
    if (c == '\n') result += space;
  }
  return result;
}

std::string kinds_of(const cJSON* report) {
  const cJSON* kinds = cJSON_GetObjectItemCaseSensitive(report, "kinds");
  std::string text;
  for (const cJSON* item = kinds == nullptr ? nullptr : kinds->child; item != nullptr;
       item = item->next)
    text += (text.empty() ? "" : ", ") + format_number(item->valuedouble, 0) + " " + item->string;
  return text;
}

void print_lengths(const cJSON* report) {
  const cJSON* lengths = cJSON_GetObjectItemCaseSensitive(report, "lengths");
  line("length", std::to_string(json_count(lengths, "minimum")) + " to " +
                     std::to_string(json_count(lengths, "maximum")) + " tokens, median " +
                     std::to_string(json_count(lengths, "median")) + ", 95 % up to " +
                     std::to_string(json_count(lengths, "percentile95")));
}

void print_layout(const CheckedData& data, const CheckedPart& part) {
  const cJSON* rows = part.layout.get();
  const uint64_t examples = json_count(part.report.get(), "examples");
  line("rows", std::to_string(json_count(rows, "rows")) + " " + data.layout + " of " +
                   std::to_string(data.sequence_length) + " tokens, " +
                   format_number(100 * json_number(rows, "density"), 1) + " % full");
  for (const char* key : {"truncated", "skipped", "split"})
    if (json_count(rows, key) > 0)
      line(key, share(json_count(rows, key), examples) + " of the examples");
  if (json_count(rows, "lost_supervised") > 0)
    line("cut off", share(json_count(rows, "lost_supervised"),
                          json_count(part.report.get(), "supervised_tokens")) +
                        " of the tokens to learn");
}

void print_places(const cJSON* report) {
  const cJSON* places = cJSON_GetObjectItemCaseSensitive(report, "first_special");
  int number = 0;
  for (const cJSON* place = places == nullptr ? nullptr : places->child;
       place != nullptr && number < 3; place = place->next, ++number)
    std::printf("    %s:%llu\n", json_string(place, "file").c_str(),
                static_cast<unsigned long long>(json_count(place, "line")));
}

void print_counts(const CheckedPart& part) {
  const cJSON* report = part.report.get();
  const uint64_t examples = json_count(report, "examples");
  const uint64_t tokens = json_count(report, "tokens");
  line("examples", std::to_string(examples) + " (" + kinds_of(report) + ")");
  line("tokens", std::to_string(tokens));
  line("to learn", share(json_count(report, "supervised_tokens"), tokens));
  print_lengths(report);
  line("end with a stop token", share(json_count(report, "ends_with_stop"), examples));
  line("duplicates", share(json_count(report, "duplicates"), examples));
  line("spell special tokens", share(json_count(report, "spells_special"), examples));
  print_places(report);
  const uint64_t trips = json_count(report, "round_trips");
  if (trips > 0)
    line("template round trips",
         std::to_string(trips) + " of " +
             std::to_string(trips + json_count(report, "round_trip_failures")));
}

// What is learned of one example, marked; at most 4 KB of it, because documents may be books.
std::string marked(const cJSON* sample, bool colour) {
  size_t left = 4096;
  std::string text;
  for (const cJSON* run = sample->child; run != nullptr; run = run->next) {
    const std::string whole = json_string(run, "text");
    size_t length = std::min(left, whole.size());
    // Not in the middle of a character.
    while (length < whole.size() && length > 0 && (whole[length] & 0xc0) == 0x80) --length;
    const std::string shown = printable(whole.substr(0, length));
    left -= length;
    if (!json_true(run, "supervised")) {
      text += shown;
    } else {
      text += (colour ? "\033[32m" : "[[") + shown + (colour ? "\033[0m" : "]]");
    }
    if (length < whole.size() || (left == 0 && run->next != nullptr)) return text + " ...";
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void print_samples(const CheckedPart& part, bool colour) {
  size_t number = 0;
  for (const cJSON* sample = part.samples->child; sample != nullptr; sample = sample->next) {
    // Indented, so that it stands out from what is said about it.
    std::printf("\n  example %zu\n    %s\n", ++number,
                indented(marked(sample, colour), "    ").c_str());
  }
}

void add_part_advice(const CheckedPart& part, std::vector<std::string>& result) {
  const cJSON* report = part.report.get();
  const uint64_t examples = json_count(report, "examples");
  const uint64_t stops = json_count(report, "ends_with_stop");
  const auto add = [&](const std::string& text) { result.push_back(part.name + ": " + text); };
  if (json_count(report, "unusable_rows") > 0)
    add("rows that cannot be used are left out; --strict stops at them");
  if (stops == 0)
    add("no example ends with a stop token: the model does not learn when to stop");
  else if (stops < examples)
    add(std::to_string(examples - stops) + " examples do not end with a stop token");
  if (json_count(part.layout.get(), "truncated") > 0)
    add("examples lose their end: a larger --sequence-length or --long split keeps it");
  if (json_count(report, "spells_special") > 0)
    add("rows spell special tokens: in conversations they act as such, in other texts only with "
        "--parse-special");
  if (json_count(report, "round_trip_failures") > 0)
    add("the tokens of some conversations do not spell what the chat template wrote");
  if (json_count(report, "duplicates") * 10 > examples)
    add("more than a tenth of the examples are duplicates");
}

} // namespace

std::vector<std::string> advice(const CheckedData& data) {
  std::vector<std::string> result;
  if (!data.chat_problem.empty())
    result.push_back("the model's chat template cannot be used: " + data.chat_problem);
  for (const CheckedPart& part : data.parts) add_part_advice(part, result);
  return result;
}

Json checked_json(const CheckedData& data) {
  Json object = json_object();
  json_set(object, "schema", "ane-train data check 1");
  json_set(object, "tokenizer", data.tokenizer);
  json_set(object, "chat_template", data.chat_template);
  json_set(object, "layout", data.layout);
  json_set_count(object, "sequence_length", static_cast<uint64_t>(data.sequence_length));
  Json parts = json_array();
  for (const CheckedPart& part : data.parts) {
    Json entry = json_object();
    json_set(entry, "part", part.name);
    json_set(entry, "examples", json_copy(part.report.get()));
    json_set(entry, "rows", json_copy(part.layout.get()));
    json_set(entry, "samples", json_copy(part.samples.get()));
    json_append(parts, std::move(entry));
  }
  json_set(object, "parts", std::move(parts));
  Json notes = json_array();
  for (const std::string& note : advice(data))
    json_append(notes, Json(cJSON_CreateString(note.c_str())));
  json_set(object, "advice", std::move(notes));
  return object;
}

void print_checked(const CheckedData& data) {
  const bool colour = isatty(STDOUT_FILENO) != 0;
  std::printf("tokenizer       %s\nchat template   %s\n", data.tokenizer.c_str(),
              data.chat_template.empty() ? "none" : data.chat_template.c_str());
  for (const CheckedPart& part : data.parts) {
    std::printf("\n%s\n", part.name.c_str());
    print_counts(part);
    print_layout(data, part);
    const std::string unusable = unusable_rows(part.report.get(), 20);
    if (!unusable.empty()) std::printf("  %s\n", indented(unusable, "  ").c_str());
    print_samples(part, colour);
  }
  const std::vector<std::string> notes = advice(data);
  if (!notes.empty()) std::printf("\n");
  for (const std::string& note : notes) std::printf("note: %s\n", note.c_str());
}

} // namespace cli
