// What a C++ program wraps around the C ABI: owned handles and failures as exceptions.
#pragma once

#include <ane_train.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace cli {

// A call of the library failed; exit code 1.
struct Failure : std::runtime_error {
  Failure(anet_status failed, const std::string& text) : std::runtime_error(text), status(failed) {}
  explicit Failure(const std::string& text) : Failure(ANET_E_INVALID_ARGUMENT, text) {}
  anet_status status;
};

// The command line or the configuration file is wrong; exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <auto release>
struct Release {
  template <typename T>
  void operator()(T* handle) const {
    release(handle);
  }
};

using Device = std::unique_ptr<anet_device, Release<anet_device_release>>;
using Model = std::unique_ptr<anet_model, Release<anet_model_release>>;
using Adapter = std::unique_ptr<anet_adapter, Release<anet_adapter_release>>;
using Tokenizer = std::unique_ptr<anet_tokenizer, Release<anet_tokenizer_release>>;
using Dataset = std::unique_ptr<anet_dataset, Release<anet_dataset_release>>;
using Session = std::unique_ptr<anet_session, Release<anet_session_release>>;
using Generator = std::unique_ptr<anet_generator, Release<anet_generator_release>>;
using Examples = std::unique_ptr<anet_examples, Release<anet_examples_release>>;
using ChatTemplate = std::unique_ptr<anet_chat_template, Release<anet_chat_template_release>>;
using TextDecoder = std::unique_ptr<anet_text_decoder, Release<anet_text_decoder_release>>;

// Throws the error that a call returned; releases it.
void throw_error(anet_status status, anet_error* error);

// call(function, arguments...) passes an error slot and throws when the call fails.
template <typename Function, typename... Arguments>
void call(Function function, Arguments... arguments) {
  anet_error* error = nullptr;
  const anet_status status = function(arguments..., &error);
  if (status != ANET_OK) throw_error(status, error);
}

// create<Device>(anet_device_open, "cpu", nullptr) for calls whose last output is a handle.
template <typename Handle, typename Function, typename... Arguments>
Handle create(Function function, Arguments... arguments) {
  typename Handle::pointer handle = nullptr;
  call(function, arguments..., &handle);
  return Handle(handle);
}

// For calls that end in a text's place, its capacity and its length.
template <typename Function, typename... Arguments>
std::string call_text(Function function, Arguments... arguments) {
  std::string text(4096, '\0');
  for (;;) {
    size_t length = 0;
    anet_error* error = nullptr;
    const anet_status status = function(arguments..., text.data(), text.size(), &length, &error);
    if (status == ANET_OK) {
      text.resize(length);
      return text;
    }
    if (status != ANET_E_OUT_OF_RANGE || length < text.size()) throw_error(status, error);
    anet_error_release(error);
    text.resize(length + 1);
  }
}

template <typename Struct>
Struct initialised() {
  Struct value;
  anet_struct_init(&value, sizeof value);
  return value;
}

} // namespace cli
