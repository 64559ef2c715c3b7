#include "capi/arguments.h"
#include "capi/call_scope.h"
#include "capi/guard.h"
#include "capi/tokenizer.h"

#include <string>

struct anet_text_decoder : anet::capi::Handle<anet::capi::HandleKind::text_decoder> {
  explicit anet_text_decoder(const anet_tokenizer& source)
      : tokenizer(source), decoder(*source.tokenizer) {}

  anet::capi::Ref<const anet_tokenizer> tokenizer;
  anet::io::StreamingDecoder decoder;
  std::string text; // of the latest call
  anet::capi::CallState calls;
};

namespace anet::capi {

namespace {

template <typename Decode>
void give_text(anet_text_decoder& handle, const char** text, size_t* length, Decode&& decode) {
  require(text, "text");
  const auto call = enter_call(handle, "decoder");
  handle.text = decode(handle.decoder);
  *text = handle.text.c_str();
  if (length != nullptr) *length = handle.text.size();
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_text_decoder_create(const anet_tokenizer* tokenizer, anet_text_decoder** decoder,
                                     anet_error** error) {
  return guard_create(decoder, "decoder", error, [&] {
    return std::make_unique<anet_text_decoder>(check_handle(tokenizer, "tokenizer"));
  });
}

anet_status anet_text_decoder_prime(anet_text_decoder* decoder, const int32_t* ids, size_t count,
                                    anet_error** error) {
  return guard(error, [&] {
    anet_text_decoder& handle = check_handle(decoder, "decoder");
    const auto call = enter_call(handle, "decoder");
    handle.decoder.prime(read_array(ids, count, "ids"));
  });
}

anet_status anet_text_decoder_push(anet_text_decoder* decoder, int32_t id, const char** text,
                                   size_t* length, anet_error** error) {
  return guard(error, [&] {
    give_text(check_handle(decoder, "decoder"), text, length,
              [id](auto& streaming) { return streaming.push(id); });
  });
}

anet_status anet_text_decoder_flush(anet_text_decoder* decoder, const char** text, size_t* length,
                                    anet_error** error) {
  return guard(error, [&] {
    give_text(check_handle(decoder, "decoder"), text, length,
              [](auto& streaming) { return streaming.flush(); });
  });
}

void anet_text_decoder_retain(anet_text_decoder* decoder) { retain_handle(decoder); }

void anet_text_decoder_release(anet_text_decoder* decoder) { release_handle(decoder); }
