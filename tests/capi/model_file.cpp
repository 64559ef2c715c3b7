// Models and tokenizers of other tools, read and written through the C ABI. What is in the files is
// checked by tests/unit/io; the folder is one that transformers wrote (tests/golden/model_files).
#include "support.h"

using namespace test;

namespace {

std::string golden(const std::string& name) { return "tests/golden/" + name; }

Model load(const std::string& path) {
  anet_model* model = nullptr;
  must(anet_model_load, path.c_str(), nullptr, &model);
  return Model(model);
}

anet_model_info info_of(const Model& model) {
  auto info = initialised<anet_model_info>();
  must(anet_model_get_info, model.get(), &info);
  return info;
}

std::vector<float> weights_of(const Model& model) {
  std::vector<float> all;
  for (size_t i = 0; i < anet_model_parameter_count(model.get()); ++i) {
    auto parameter = initialised<anet_parameter>();
    must(anet_model_get_parameter, model.get(), i, &parameter);
    const size_t begin = all.size();
    all.resize(begin + parameter.element_count);
    must(anet_model_read_parameter, model.get(), i, all.data() + begin,
         static_cast<size_t>(parameter.element_count));
  }
  return all;
}

Tokenizer load_tokenizer(const std::string& path, int32_t vocab_size = 0) {
  anet_tokenizer* tokenizer = nullptr;
  must(anet_tokenizer_load, path.c_str(), vocab_size, &tokenizer);
  return Tokenizer(tokenizer);
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, const std::string& text, uint32_t flags) {
  size_t count = 0;
  must(anet_tokenizer_encode, tokenizer.get(), text.data(), text.size(), flags, nullptr, size_t{0},
       &count);
  std::vector<int32_t> ids(count);
  must(anet_tokenizer_encode, tokenizer.get(), text.data(), text.size(), flags, ids.data(), count,
       &count);
  return ids;
}

} // namespace

TEST_CASE("a folder of transformers, exported and read again, keeps its weights") {
  const Model model = load(golden("model_files/llama3"));
  CHECK(std::string(info_of(model).format) == "hugging_face");
  auto config = initialised<anet_model_config>();
  must(anet_model_get_config, model.get(), &config);
  CHECK(config.rope_scaling_factor > 1);

  const Folder folder;
  for (const anet_export_format format : {ANET_EXPORT_HUGGING_FACE, ANET_EXPORT_GGUF}) {
    auto options = initialised<anet_export_options>();
    options.format = format;
    const std::string path = folder.path("export" + std::to_string(format));
    must(anet_model_export, model.get(), path.c_str(), &options);
    const Model back = load(path);
    CHECK(same_bits(weights_of(model), weights_of(back)));
    auto again = initialised<anet_model_config>();
    must(anet_model_get_config, back.get(), &again);
    CHECK(again.rope_scaling_factor == config.rope_scaling_factor);
    CHECK(again.rope_theta == doctest::Approx(config.rope_theta));
  }
}

TEST_CASE("an export that the format cannot express is refused and writes nothing") {
  const Model model = load(golden("model_files/qwen3"));
  const Folder folder;
  const std::string path = folder.path("model.bin");
  auto options = initialised<anet_export_options>();
  options.format = ANET_EXPORT_LLAMA2C;
  CHECK(attempt(anet_model_export, model.get(), path.c_str(), &options).status ==
        ANET_E_UNSUPPORTED);
  CHECK(!std::filesystem::exists(path));
  options.type = ANET_EXPORT_FP16; // which the format does not have
  CHECK(attempt(anet_model_export, model.get(), path.c_str(), &options).status ==
        ANET_E_UNSUPPORTED_OPTION);
  options.format = 9;
  CHECK(attempt(anet_model_export, model.get(), path.c_str(), &options).status ==
        ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("a progress callback sees every tensor, and can end a load or an export") {
  struct Count {
    int calls = 0;
    int stop_at = 0;
    uint64_t done = 0;
  } count;
  auto options = initialised<anet_model_load_options>();
  options.user_data = &count;
  options.progress = [](const anet_progress* progress, void* user_data) {
    auto& seen = *static_cast<Count*>(user_data);
    CHECK(progress->done > seen.done);
    CHECK(progress->done <= progress->total);
    seen.done = progress->done;
    return ++seen.calls == seen.stop_at ? 1 : 0;
  };
  anet_model* handle = nullptr;
  const std::string path = golden("model_files/qwen2");
  must(anet_model_load, path.c_str(), &options, &handle);
  const Model model(handle);
  CHECK(count.calls == static_cast<int>(anet_model_parameter_count(model.get())));
  count = {0, 3, 0};
  CHECK(attempt(anet_model_load, path.c_str(), &options, &handle).status == ANET_E_CANCELLED);
  CHECK(count.calls == 3);

  const Folder folder;
  auto writing = initialised<anet_export_options>();
  writing.progress = options.progress;
  writing.user_data = &count;
  count = {0, 2, 0};
  CHECK(attempt(anet_model_export, model.get(), folder.path("out").c_str(), &writing).status ==
        ANET_E_CANCELLED);
  CHECK(!std::filesystem::exists(folder.path("out")));
}

TEST_CASE("a tokenizer encodes with ranges, and tells what it adds") {
  const Tokenizer tokenizer = load_tokenizer(golden("tokenizer/llama3.tokenizer.json"));
  const std::string text = "Hello, w\xc3\xb6rld";
  const std::vector<int32_t> ids = encode(tokenizer, text, 0);
  const std::vector<int32_t> trained = encode(tokenizer, text, ANET_TOKENIZE_AS_TRAINED);
  CHECK(trained.size() >= ids.size());
  std::vector<int32_t> again(ids.size());
  std::vector<anet_text_range> ranges(ids.size());
  size_t count = 0;
  must(anet_tokenizer_encode_ranges, tokenizer.get(), text.data(), text.size(), uint32_t{0},
       again.data(), ranges.data(), ids.size(), &count);
  CHECK(again == ids);
  CHECK(ranges.front().begin == 0);
  CHECK(ranges.back().end == static_cast<int64_t>(text.size()));
  CHECK(std::string(anet_tokenizer_fingerprint(tokenizer.get())).size() == 64);
  int32_t id = 0;
  CHECK(attempt(anet_tokenizer_find_special, tokenizer.get(), "<|nothing|>", &id).status ==
        ANET_E_NOT_FOUND);
  CHECK(attempt(anet_tokenizer_encode, tokenizer.get(), "a", SIZE_MAX,
                uint32_t{ANET_TOKENIZE_AS_TRAINED | ANET_TOKENIZE_ADD_BOS}, nullptr, size_t{0},
                &count)
            .status == ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("tokenizers that cannot be read are refused") {
  const Folder folder;
  anet_tokenizer* tokenizer = nullptr;
  CHECK(attempt(anet_tokenizer_load, folder.path("none").c_str(), 0, &tokenizer).status ==
        ANET_E_FILE_NOT_FOUND);
  write_file(folder.path("tokenizer.json"), "{\"model\": {\"type\": \"WordPiece\"}}");
  const Outcome outcome = attempt(anet_tokenizer_load, folder.path().c_str(), 0, &tokenizer);
  CHECK(outcome.status != ANET_OK);
  CHECK(outcome.says("WordPiece"));
  // tokenizer.bin does not say how many tokens it has.
  CHECK(
      attempt(anet_tokenizer_load, golden("tokenizer/llama2c.tokenizer.bin").c_str(), 0, &tokenizer)
          .status == ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("prompts in a batch get the text that they get alone") {
  const Device device = open_device();
  const Model model = create_model();
  auto options = initialised<anet_generator_options>();
  options.batch_size = 2;
  anet_generator* made = nullptr;
  must(anet_generator_create, device.get(), model.get(), nullptr, &options, &made);
  const Generator generator(made);
  const std::vector<std::vector<int32_t>> prompts = {{1, 2, 3}, {70, 71}, {9}};
  std::vector<anet_prompt> batch;
  for (const auto& prompt : prompts) batch.push_back({prompt.data(), prompt.size(), 0});
  auto sampling = initialised<anet_sampling_options>();
  sampling.max_tokens = 6;
  std::vector<std::vector<int32_t>> texts(prompts.size());
  std::vector<anet_generation_result> results(prompts.size(),
                                              initialised<anet_generation_result>());
  const anet_batch_token_callback collect = [](size_t index, int32_t id, const char*, size_t,
                                               void* user_data) {
    (*static_cast<std::vector<std::vector<int32_t>>*>(user_data))[index].push_back(id);
    return 0;
  };
  must(anet_generator_generate_batch, generator.get(), batch.data(), batch.size(), &sampling,
       collect, static_cast<void*>(&texts), results.data());
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t> alone(6);
    must(anet_generator_generate, generator.get(), prompts[i].data(), prompts[i].size(), &sampling,
         nullptr, nullptr, alone.data(), alone.size(), nullptr);
    CHECK(texts[i] == alone);
    CHECK(results[i].generated_tokens == 6);
    CHECK(results[i].prompt_tokens == prompts[i].size());
  }
}
