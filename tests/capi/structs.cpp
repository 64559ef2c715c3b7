// Versioned structs: what the library accepts from callers that are older or newer than itself.
#include "support.h"

#include <cstddef>

using namespace test;

namespace {

// A struct as a later version of the header might have it.
template <typename Struct>
struct Longer {
  Struct known;
  uint64_t added[2];
};

template <typename Struct>
Longer<Struct> longer() {
  Longer<Struct> value;
  anet_struct_init(&value, sizeof(value));
  return value;
}

anet_status open_with(const anet_device_options* options) {
  anet_device* device = nullptr;
  const Outcome outcome = attempt(anet_device_open, "cpu", options, &device);
  CHECK((outcome.status == ANET_OK) == (device != nullptr));
  anet_device_release(device);
  return outcome.status;
}

} // namespace

TEST_CASE("an input struct that is too small is refused") {
  auto options = initialised<anet_device_options>();
  // 31 is less than any version's; the others would cut a field.
  for (uint32_t size : {0u, 4u, 31u, 36u, static_cast<uint32_t>(sizeof(options) - 1)}) {
    options.struct_size = size;
    CHECK(open_with(&options) == ANET_E_INVALID_STRUCT_SIZE);
  }
  // Garbage must not make the library read far beyond the struct.
  options.struct_size = 0x7fffffff;
  CHECK(open_with(&options) == ANET_E_INVALID_STRUCT_SIZE);
}

TEST_CASE("a larger input struct is accepted while its unknown tail is zero") {
  auto options = longer<anet_device_options>();
  options.known.threads = 1;
  CHECK(open_with(&options.known) == ANET_OK);
  options.added[1] = 1;
  CHECK(open_with(&options.known) == ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("reserved fields must be zero") {
  auto options = initialised<anet_device_options>();
  options.reserved = 1;
  CHECK(open_with(&options) == ANET_E_UNSUPPORTED_OPTION);

  const Device device = open_device();
  const Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  const Dataset dataset = create_dataset(token_stream(100));
  auto fit = initialised<anet_fit_options>();
  fit.steps = 1;
  fit.reserved2 = 1;
  const Outcome outcome =
      attempt(anet_session_fit, session.get(), dataset.get(), nullptr, &fit, nullptr);
  CHECK(outcome.status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(outcome.says("reserved2"));
}

TEST_CASE("an output struct is written as far as the caller has room") {
  const Device device = open_device(1);
  auto small = initialised<anet_device_info>();
  small.struct_size = sizeof(small) - 1;
  small.threads = 77;
  CHECK(attempt(anet_device_get_info, device.get(), &small).status == ANET_E_INVALID_STRUCT_SIZE);
  CHECK(small.threads == 77);

  auto info = longer<anet_device_info>();
  std::memset(info.added, 0xff, sizeof(info.added));
  must(anet_device_get_info, device.get(), &info.known);
  CHECK(info.known.struct_size == sizeof(info));
  CHECK(info.known.threads == 1);
  CHECK(info.added[0] == 0);
  CHECK(info.added[1] == 0);
}

TEST_CASE("an output struct of a bad size fails before the call does anything") {
  const Device device = open_device();
  const Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  const std::vector<float> before = weights_of(session.get());
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  anet_step_result result;
  std::memset(&result, 0, sizeof(result));
  CHECK(attempt(anet_session_step, session.get(), &batch, size_t{1}, &result).status ==
        ANET_E_INVALID_STRUCT_SIZE);
  CHECK(same_bits(before, weights_of(session.get())));
}

TEST_CASE("arrays of structs step by the caller's size") {
  const Device device = open_device();
  const Model models[] = {create_model(), create_model()};
  const Session plain = create_session(device.get(), models[0].get());
  const Session newer = create_session(device.get(), models[1].get());
  const Tokens first(1);
  const Tokens second(2);

  const anet_batch batches[] = {first.batch(), second.batch()};
  must(anet_session_step, plain.get(), batches, size_t{2}, nullptr);

  Longer<anet_batch> larger[] = {longer<anet_batch>(), longer<anet_batch>()};
  for (size_t i = 0; i < 2; ++i) {
    larger[i].known = batches[i];
    larger[i].known.struct_size = sizeof(larger[i]);
  }
  must(anet_session_step, newer.get(), &larger[0].known, size_t{2}, nullptr);
  CHECK(same_bits(weights_of(plain.get()), weights_of(newer.get())));

  larger[1].known.struct_size = sizeof(anet_batch);
  CHECK(attempt(anet_session_step, newer.get(), &larger[0].known, size_t{2}, nullptr).status ==
        ANET_E_INVALID_STRUCT_SIZE);
}
