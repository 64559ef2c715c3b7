#include "io/tokenizer/post_processor.h"

#include "base/status.h"

#include <string>

namespace anet::io::tokenization {
namespace {

int32_t special_id(const JsonView& view, const std::string& name, int32_t max_vocab_size) {
  const JsonView ids = view.at("special_tokens").at(name).at("ids");
  if (ids.size() != 1)
    fail(Status::unsupported, "expected one id at ", ids.place(), ", seen ", ids.size());
  return static_cast<int32_t>(ids.at(size_t{0}).integer(0, max_vocab_size - 1));
}

void read_template(const JsonView& view, int32_t max_vocab_size, PostProcessor& result) {
  const JsonView single = view.at("single");
  bool text_seen = false;
  for (size_t i = 0; i < single.size(); ++i) {
    const JsonView item = single.at(i);
    if (item.find("Sequence")) {
      if (text_seen) item.fail_here("expected the text once, seen it twice");
      text_seen = true;
      continue;
    }
    const int32_t id = special_id(view, item.at("SpecialToken").at("id").string(), max_vocab_size);
    std::optional<int32_t>& place = text_seen ? result.suffix : result.prefix;
    if (place)
      fail(Status::unsupported, "more than one special token ", text_seen ? "behind" : "before",
           " the text is not supported, seen at ", item.place());
    place = id;
  }
  if (!text_seen) single.fail_here("expected a place for the text, seen none");
}

void read_steps(const JsonView& view, int32_t max_vocab_size, PostProcessor& result) {
  if (view.value().is_null()) return;
  const std::string& type = view.at("type").string();
  if (type == "Sequence") {
    const JsonView list = view.at("processors");
    for (size_t i = 0; i < list.size(); ++i) read_steps(list.at(i), max_vocab_size, result);
  } else if (type == "TemplateProcessing") {
    if (result.prefix || result.suffix)
      fail(Status::unsupported, "a second template at ", view.place(), " is not supported");
    read_template(view, max_vocab_size, result);
  } else if (type == "ByteLevel") {
    result.trim_ranges = view.boolean_or("trim_offsets", true);
    result.prefix_space = view.boolean_or("add_prefix_space", true);
  } else {
    fail(Status::unsupported, "the post-processor '", type, "' at ", view.place(),
         " is not supported: expected TemplateProcessing, ByteLevel or Sequence");
  }
}

} // namespace

PostProcessor read_post_processor(const JsonView& view, int32_t max_vocab_size) {
  PostProcessor result;
  read_steps(view, max_vocab_size, result);
  return result;
}

} // namespace anet::io::tokenization
