#include "capi/chat_template.h"

#include "capi/arguments.h"
#include "capi/guard.h"

#include <ctime>

namespace anet::capi {

namespace {

// Null for NULL.
Json read_json(const char* text, const char* argument) {
  if (text == nullptr) return {};
  return Json::parse(text, argument, Status::invalid_data);
}

std::tm read_date(int64_t seconds) {
  constexpr int64_t year_10000 = 253402300800;
  if (seconds < 0 || seconds >= year_10000)
    fail(Status::out_of_range, "expected seconds from 0 to below ", year_10000, ", seen ", seconds);
  const auto time = static_cast<std::time_t>(seconds);
  std::tm date{};
  gmtime_r(&time, &date);
  return date;
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;
using anet::io::ChatTemplate;

anet_status anet_chat_template_load(const char* directory, anet_chat_template** chat_template,
                                    anet_error** error) {
  return guard_create(chat_template, "chat_template", error, [&] {
    return std::make_unique<anet_chat_template>(
        ChatTemplate::load(read_path(directory, "directory")));
  });
}

anet_status anet_chat_template_built_in(const char* name, anet_chat_template** chat_template,
                                        anet_error** error) {
  return guard_create(chat_template, "chat_template", error, [&] {
    return std::make_unique<anet_chat_template>(ChatTemplate::built_in(read_string(name, "name")));
  });
}

anet_status anet_chat_template_parse(const char* text, const char* bos_token, const char* eos_token,
                                     anet_chat_template** chat_template, anet_error** error) {
  return guard_create(chat_template, "chat_template", error, [&] {
    return std::make_unique<anet_chat_template>(ChatTemplate(read_string(text, "text"),
                                                             read_string(bos_token, "bos_token"),
                                                             read_string(eos_token, "eos_token")));
  });
}

anet_status anet_chat_template_render(const anet_chat_template* chat_template, const char* messages,
                                      const char* tools, const char* variables,
                                      int32_t generation_prompt, char* text, size_t capacity,
                                      size_t* length, anet_error** error) {
  return guard(error, [&] {
    const auto& handle = check_handle(chat_template, "chat_template");
    require(length, "length");
    const bool prompt =
        check_flag(generation_prompt, anet::Status::invalid_argument, "generation_prompt");
    const anet::Json conversation = read_json(&require(messages, "messages"), "messages");
    const std::string rendered = handle.chat_template->render(
        conversation, read_json(tools, "tools"), prompt, read_json(variables, "variables"));
    copy_string(rendered, text, capacity, length, "text");
  });
}

int32_t anet_chat_template_uses_date(const anet_chat_template* chat_template) {
  return is_valid(chat_template) && chat_template->chat_template->uses_date() ? 1 : 0;
}

anet_status anet_chat_template_set_date(anet_chat_template* chat_template, int64_t seconds,
                                        anet_error** error) {
  return guard(error, [&] {
    check_handle(chat_template, "chat_template").chat_template->set_date(read_date(seconds));
  });
}

void anet_chat_template_retain(anet_chat_template* chat_template) { retain_handle(chat_template); }

void anet_chat_template_release(anet_chat_template* chat_template) {
  release_handle(chat_template);
}
