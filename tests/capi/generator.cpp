#include "support.h"

#include <algorithm>
#include <limits>
#include <numeric>

using namespace test;

namespace {

struct Generation {
  std::vector<int32_t> ids;
  std::vector<std::string> pieces;
  anet_generation_result result{};
  Outcome outcome;
};

int32_t collect(int32_t id, const char* text, size_t length, void* user_data) {
  auto* generation = static_cast<Generation*>(user_data);
  generation->ids.push_back(id);
  generation->pieces.emplace_back(text, length);
  return 0;
}

struct Writer {
  Device device = open_device();
  Model model;
  Tokenizer tokenizer;
  Generator generator;

  explicit Writer(Model with = create_model(), int32_t context_length = 0)
      : model(std::move(with)) {
    anet_tokenizer* made = nullptr;
    must(anet_tokenizer_create_bytes, &made);
    tokenizer.reset(made);
    generator = make_generator(ANET_PRECISION_DEFAULT, context_length);
  }

  Generator make_generator(anet_precision precision, int32_t context_length = 0) const {
    auto options = initialised<anet_generator_options>();
    options.context_length = context_length;
    options.precision = precision;
    anet_generator* handle = nullptr;
    must(anet_generator_create, device.get(), model.get(), tokenizer.get(), &options, &handle);
    return Generator(handle);
  }

  Generation generate(const std::vector<int32_t>& prompt, const anet_sampling_options& options) {
    Generation generation;
    generation.result = initialised<anet_generation_result>();
    generation.outcome =
        attempt(anet_generator_generate, generator.get(), prompt.data(), prompt.size(), &options,
                collect, static_cast<void*>(&generation), nullptr, size_t{0}, &generation.result);
    return generation;
  }

  std::vector<float> logits(const std::vector<int32_t>& prompt) {
    std::vector<float> values(258);
    must(anet_generator_logits, generator.get(), prompt.data(), prompt.size(), values.data(),
         values.size());
    return values;
  }
};

anet_sampling_options sampling(int32_t max_tokens) {
  auto options = initialised<anet_sampling_options>();
  options.max_tokens = max_tokens;
  return options;
}

std::vector<int32_t> join(std::vector<int32_t> prompt, const std::vector<int32_t>& ids,
                          size_t count) {
  prompt.insert(prompt.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
  return prompt;
}

// How many logits are above that of an id.
ptrdiff_t rank_of(const std::vector<float>& logits, int32_t id) {
  const float own = logits[static_cast<size_t>(id)];
  return std::count_if(logits.begin(), logits.end(), [own](float other) { return other > own; });
}

const std::vector<int32_t> prompt = {10, 20, 30};

// A model that has learnt to repeat these bytes.
Model memorise(const std::string& bytes) {
  const Device device = open_device();
  Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  Tokens tokens(0);
  for (size_t i = 0; i < tokens.inputs.size(); ++i) {
    const auto at = [&](size_t k) {
      return int32_t{static_cast<unsigned char>(bytes[k % bytes.size()])};
    };
    tokens.inputs[i] = at(i);
    tokens.targets[i] = at(i + 1);
  }
  for (int i = 0; i < 60; ++i) step(session.get(), tokens);
  return model;
}

} // namespace

TEST_CASE("greedy decoding takes the most probable token each time") {
  Writer writer;
  const Generation generation = writer.generate(prompt, sampling(6));
  CHECK(generation.outcome.status == ANET_OK);
  REQUIRE(generation.ids.size() == 6);
  CHECK(generation.result.finish_reason == ANET_FINISH_LENGTH);
  CHECK(generation.result.prompt_tokens == 3);
  CHECK(generation.result.generated_tokens == 6);
  CHECK(generation.result.prefill_seconds > 0);
  CHECK(generation.result.decode_seconds > 0);
  CHECK(writer.generate(prompt, sampling(6)).ids == generation.ids);
  // The cache gives what a fresh pass over the whole text gives.
  for (size_t i = 0; i < generation.ids.size(); ++i)
    CHECK(rank_of(writer.logits(join(prompt, generation.ids, i)), generation.ids[i]) == 0);
}

TEST_CASE("default options are greedy until the context is full") {
  Writer writer(create_model(), 8);
  std::vector<int32_t> ids(20, -1);
  auto result = initialised<anet_generation_result>();
  must(anet_generator_generate, writer.generator.get(), prompt.data(), prompt.size(), nullptr,
       nullptr, nullptr, ids.data(), ids.size(), &result);
  CHECK(result.finish_reason == ANET_FINISH_CONTEXT);
  // Three of the eight positions are the prompt's; the last token needs none.
  CHECK(result.generated_tokens == 6);
  CHECK(ids[5] >= 0);
  CHECK(ids[6] == -1);
}

TEST_CASE("ids beyond the capacity go to the callback alone") {
  Writer writer;
  int32_t ids[3] = {-1, -1, -1};
  Generation generation;
  const anet_sampling_options options = sampling(5);
  must(anet_generator_generate, writer.generator.get(), prompt.data(), prompt.size(), &options,
       collect, static_cast<void*>(&generation), ids, size_t{2}, nullptr);
  REQUIRE(generation.ids.size() == 5);
  CHECK(ids[0] == generation.ids[0]);
  CHECK(ids[1] == generation.ids[1]);
  CHECK(ids[2] == -1);
}

TEST_CASE("stop ids end before they appear") {
  Writer writer(memorise("abcdefgh"));
  const std::vector<int32_t> letters = {'a', 'b', 'c'};
  CHECK(writer.generate(letters, sampling(4)).ids == std::vector<int32_t>{'d', 'e', 'f', 'g'});
  anet_sampling_options options = sampling(10);
  const int32_t stops[] = {'z', 'f'};
  options.stop_ids = stops;
  options.stop_count = 2;
  const Generation generation = writer.generate(letters, options);
  CHECK(generation.ids == std::vector<int32_t>{'d', 'e'});
  CHECK(generation.result.finish_reason == ANET_FINISH_STOP);
  CHECK(generation.result.generated_tokens == 2);

  const int32_t bad[] = {258};
  options.stop_ids = bad;
  options.stop_count = 1;
  CHECK(writer.generate(letters, options).outcome.status == ANET_E_OUT_OF_RANGE);
  options.stop_ids = nullptr;
  CHECK(writer.generate(letters, options).outcome.status == ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("the callback can stop") {
  Writer writer;
  int count = 0;
  const auto stop_at_two = [](int32_t, const char*, size_t, void* user_data) -> int32_t {
    return ++*static_cast<int*>(user_data) == 2;
  };
  auto result = initialised<anet_generation_result>();
  const anet_sampling_options options = sampling(10);
  must(anet_generator_generate, writer.generator.get(), prompt.data(), prompt.size(), &options,
       anet_token_callback{stop_at_two}, static_cast<void*>(&count), nullptr, size_t{0}, &result);
  CHECK(result.finish_reason == ANET_FINISH_CALLBACK);
  CHECK(result.generated_tokens == 2);
}

TEST_CASE("sampling follows its seed and its bounds") {
  Writer writer;
  anet_sampling_options options = sampling(12);
  options.temperature = 5;
  options.seed = 1;
  const Generation first = writer.generate(prompt, options);
  CHECK(writer.generate(prompt, options).ids == first.ids);
  options.seed = 2;
  CHECK(writer.generate(prompt, options).ids != first.ids);

  options.top_k = 3;
  bool not_greedy = false;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    options.seed = seed;
    const Generation generation = writer.generate(prompt, options);
    for (size_t i = 0; i < generation.ids.size(); ++i) {
      const auto rank = rank_of(writer.logits(join(prompt, generation.ids, i)), generation.ids[i]);
      CHECK(rank < 3);
      not_greedy = not_greedy || rank > 0;
    }
  }
  CHECK(not_greedy);
  const std::vector<int32_t> greedy = writer.generate(prompt, sampling(12)).ids;
  options.top_k = 1;
  CHECK(writer.generate(prompt, options).ids == greedy);
  options.top_k = 0;
  options.top_p = 1e-9; // the most probable token alone reaches it
  CHECK(writer.generate(prompt, options).ids == greedy);
}

TEST_CASE("sampling options out of their range") {
  Writer writer;
  const auto status = [&](auto change) {
    anet_sampling_options options = sampling(1);
    change(options);
    return writer.generate(prompt, options).outcome.status;
  };
  CHECK(status([](auto& o) { o.temperature = -1; }) == ANET_E_OUT_OF_RANGE);
  CHECK(status([](auto& o) { o.top_p = 1.5; }) == ANET_E_OUT_OF_RANGE);
  CHECK(status([](auto& o) { o.top_p = -0.1; }) == ANET_E_OUT_OF_RANGE);
  CHECK(status([](auto& o) { o.top_k = -1; }) == ANET_E_OUT_OF_RANGE);
  CHECK(status([](auto& o) { o.max_tokens = -1; }) == ANET_E_OUT_OF_RANGE);
}

TEST_CASE("bad prompts") {
  Writer writer(create_model(), 8);
  CHECK(writer.generate({}, sampling(1)).outcome.status == ANET_E_INVALID_DATA);
  const Outcome outcome = writer.generate(std::vector<int32_t>(9, 1), sampling(1)).outcome;
  CHECK(outcome.status == ANET_E_INVALID_DATA);
  CHECK(outcome.says("8"));
  CHECK(writer.generate({1, 258}, sampling(1)).outcome.status == ANET_E_OUT_OF_RANGE);
  CHECK(writer.generate({-1}, sampling(1)).outcome.status == ANET_E_OUT_OF_RANGE);
  CHECK(attempt(anet_generator_generate, writer.generator.get(), nullptr, size_t{2}, nullptr,
                nullptr, nullptr, nullptr, size_t{0}, nullptr)
            .status == ANET_E_INVALID_ARGUMENT);
  std::vector<float> logits(257);
  CHECK(attempt(anet_generator_logits, writer.generator.get(), prompt.data(), prompt.size(),
                logits.data(), logits.size())
            .status == ANET_E_SHAPE_MISMATCH);
}

TEST_CASE("generators see the weights as they are at each call") {
  Writer writer;
  const std::vector<float> before = writer.logits(prompt);
  size_t index = 0;
  must(anet_model_find_parameter, writer.model.get(), "model.norm.weight", &index);
  const std::vector<float> doubled(32, 2.0f);
  must(anet_model_write_parameter, writer.model.get(), index, doubled.data(), doubled.size());
  const std::vector<float> after = writer.logits(prompt);
  for (size_t i = 0; i < before.size(); ++i)
    CHECK(after[i] == doctest::Approx(2 * before[i]).epsilon(1e-4));
}

TEST_CASE("generators see what a session does to the weights between calls") {
  for (const anet_precision precision :
       {ANET_PRECISION_F32, ANET_PRECISION_F16, ANET_PRECISION_BF16}) {
    CAPTURE(precision);
    Writer writer;
    writer.generator = writer.make_generator(precision);
    std::vector<float> before = writer.logits(prompt);
    CHECK(same_bits(writer.logits(prompt), before));
    const auto check_renewed = [&] {
      const std::vector<float> after = writer.logits(prompt);
      CHECK_FALSE(same_bits(after, before));
      Generator fresh = writer.make_generator(precision);
      std::swap(writer.generator, fresh);
      CHECK(same_bits(writer.logits(prompt), after));
      std::swap(writer.generator, fresh);
      before = after;
    };
    const Session session = create_session(writer.device.get(), writer.model.get());
    for (uint64_t seed = 0; seed < 2; ++seed) {
      step(session.get(), Tokens(seed));
      check_renewed();
    }
    float* values = nullptr;
    size_t count = 0;
    must(anet_session_get_weights, session.get(), &values, &count);
    for (size_t i = 0; i < count; ++i) values[i] *= 1.5f;
    must(anet_session_weights_changed, session.get());
    check_renewed();
  }
}

TEST_CASE("logits that are not finite are an error") {
  Writer writer;
  size_t index = 0;
  must(anet_model_find_parameter, writer.model.get(), "model.norm.weight", &index);
  const std::vector<float> broken(32, std::numeric_limits<float>::quiet_NaN());
  must(anet_model_write_parameter, writer.model.get(), index, broken.data(), broken.size());
  CHECK(writer.generate(prompt, sampling(3)).outcome.status == ANET_E_NUMERIC);
}

TEST_CASE("streamed text never splits a character") {
  const std::string smile = "\xf0\x9f\x98\x80";
  const std::string euro = "\xe2\x82\xac";
  Writer writer(memorise(smile + euro + "x"));
  std::vector<int32_t> cycle;
  for (char byte : smile + euro + "x") cycle.push_back(static_cast<unsigned char>(byte));
  const Generation generation = writer.generate(cycle, sampling(8));
  REQUIRE(generation.pieces.size() == 8);
  const std::vector<std::string> once = {"", "", "", smile, "", "", euro, "x"};
  CHECK(generation.pieces == once);
}

TEST_CASE("random bytes stream as what decoding them gives") {
  Writer writer;
  anet_sampling_options options = sampling(28);
  options.temperature = 50;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    options.seed = seed;
    const Generation generation = writer.generate(prompt, options);
    const std::string streamed =
        std::accumulate(generation.pieces.begin(), generation.pieces.end(), std::string());
    std::string decoded(256, '\0');
    size_t length = 0;
    must(anet_tokenizer_decode, writer.tokenizer.get(), generation.ids.data(),
         generation.ids.size(), decoded.data(), decoded.size(), &length);
    decoded.resize(length);
    // What is still incomplete at the end is left out; decoding marks it.
    CHECK((decoded == streamed || decoded == streamed + "\xef\xbf\xbd"));
  }
}

TEST_CASE("without a tokenizer there is no text") {
  Writer writer;
  anet_generator* handle = nullptr;
  must(anet_generator_create, writer.device.get(), writer.model.get(), nullptr, nullptr, &handle);
  writer.generator.reset(handle);
  const Generation generation = writer.generate(prompt, sampling(3));
  REQUIRE(generation.pieces.size() == 3);
  for (const std::string& piece : generation.pieces) CHECK(piece.empty());
}

TEST_CASE("half precision ranks tokens alike") {
  Writer writer(memorise("abcdefgh"));
  auto options = initialised<anet_generator_options>();
  anet_generator* handle = nullptr;
  for (const anet_precision precision : {ANET_PRECISION_F16, ANET_PRECISION_BF16}) {
    options.precision = precision;
    must(anet_generator_create, writer.device.get(), writer.model.get(), nullptr, &options,
         &handle);
    writer.generator.reset(handle);
    CHECK(writer.generate({'a', 'b', 'c'}, sampling(4)).ids ==
          std::vector<int32_t>{'d', 'e', 'f', 'g'});
  }
  options.precision = 4;
  CHECK(attempt(anet_generator_create, writer.device.get(), writer.model.get(), nullptr, &options,
                &handle)
            .status == ANET_E_UNSUPPORTED_OPTION);
  options = initialised<anet_generator_options>();
  options.context_length = 33;
  CHECK(attempt(anet_generator_create, writer.device.get(), writer.model.get(), nullptr, &options,
                &handle)
            .status == ANET_E_OUT_OF_RANGE);
}
