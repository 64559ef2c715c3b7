#include "support.h"

#include <algorithm>
#include <cmath>

using namespace test;

namespace {

anet_adapter_options lora(int32_t rank = 2) {
  auto options = initialised<anet_adapter_options>();
  options.rank = rank;
  options.seed = 7;
  return options;
}

Adapter create_adapter(anet_model* model, const anet_adapter_options& options = lora()) {
  anet_adapter* adapter = nullptr;
  must(anet_adapter_create, model, &options, &adapter);
  return Adapter(adapter);
}

anet_adapter_info info_of(const Adapter& adapter) {
  auto info = initialised<anet_adapter_info>();
  must(anet_adapter_get_info, adapter.get(), &info);
  return info;
}

size_t find(const Adapter& adapter, const char* name) {
  size_t index = 0;
  must(anet_adapter_find_parameter, adapter.get(), name, &index);
  return index;
}

std::vector<float> read(const Adapter& adapter, size_t index) {
  auto parameter = initialised<anet_parameter>();
  must(anet_adapter_get_parameter, adapter.get(), index, &parameter);
  std::vector<float> values(parameter.element_count);
  must(anet_adapter_read_parameter, adapter.get(), index, values.data(), values.size());
  return values;
}

void write(const Adapter& adapter, size_t index, const std::vector<float>& values) {
  must(anet_adapter_write_parameter, adapter.get(), index, values.data(), values.size());
}

// Something in every B.
void disturb(const Adapter& adapter, float size = 0.1f) {
  for (size_t i = 0; i < anet_adapter_parameter_count(adapter.get()); ++i) {
    std::vector<float> values = read(adapter, i);
    for (size_t k = 0; k < values.size(); ++k)
      values[k] += size * static_cast<float>(int(k * 7919 % 17) - 8) / 8;
    write(adapter, i, values);
  }
}

std::vector<float> read(const Model& model, const char* name) {
  size_t index = 0;
  must(anet_model_find_parameter, model.get(), name, &index);
  auto parameter = initialised<anet_parameter>();
  must(anet_model_get_parameter, model.get(), index, &parameter);
  std::vector<float> values(parameter.element_count);
  must(anet_model_read_parameter, model.get(), index, values.data(), values.size());
  return values;
}

Generator create_generator(anet_device* device, anet_model* model) {
  anet_generator* generator = nullptr;
  must(anet_generator_create, device, model, nullptr, nullptr, &generator);
  return Generator(generator);
}

std::vector<float> logits(const Generator& generator) {
  const std::vector<int32_t> prompt = {10, 20, 30, 40};
  std::vector<float> values(258);
  must(anet_generator_logits, generator.get(), prompt.data(), prompt.size(), values.data(),
       values.size());
  return values;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, double{std::abs(a[i] - b[i])});
  return largest;
}

void attach(const Generator& generator, const std::vector<anet_weighted_adapter>& adapters) {
  must(anet_generator_set_adapters, generator.get(), adapters.data(), adapters.size());
}

Session train(anet_device* device, anet_adapter* adapter) {
  const anet_session_options options = session_options();
  anet_session* session = nullptr;
  must(anet_session_create_adapter, device, adapter, &options, &session);
  return Session(session);
}

const char* const q_a = "model.layers.0.self_attn.q_proj.lora_A.weight";
const char* const q_b = "model.layers.0.self_attn.q_proj.lora_B.weight";

} // namespace

TEST_CASE("an adapter describes itself") {
  const Model model = create_model();
  anet_adapter_options options = lora(4);
  options.targets = "q_proj, down_proj";
  options.alpha = 6;
  options.dropout = 0.25;
  const anet_adapter_override other[] = {{"layers.1.*", 2, 0, 0}};
  options.overrides = other;
  options.override_count = 1;
  const Adapter adapter = create_adapter(model.get(), options);
  const anet_adapter_info info = info_of(adapter);
  CHECK(info.rank == 4);
  CHECK(info.alpha == 6);
  CHECK(info.dropout == 0.25);
  CHECK(info.rslora == 0);
  CHECK(info.dora == 0);
  CHECK(info.module_count == 4);
  // q_proj is 32 x 32, down_proj is [32, intermediate].
  const auto down = static_cast<uint64_t>(tiny_config().intermediate_size);
  CHECK(info.weight_count == (4 + 2) * (32 + 32 + 32 + down));
  auto module = initialised<anet_adapter_module>();
  must(anet_adapter_get_module, adapter.get(), size_t{0}, &module);
  CHECK(std::string(module.name) == "model.layers.0.self_attn.q_proj");
  CHECK(module.scale == 1.5);
  must(anet_adapter_get_module, adapter.get(), size_t{2}, &module);
  CHECK(module.rank == 2);
  CHECK(module.scale == 3);
  CHECK(attempt(anet_adapter_get_module, adapter.get(), size_t{4}, &module).status ==
        ANET_E_OUT_OF_RANGE);

  auto parameter = initialised<anet_parameter>();
  must(anet_adapter_get_parameter, adapter.get(), find(adapter, q_a), &parameter);
  CHECK(parameter.rank == 2);
  CHECK(parameter.shape[0] == 4);
  CHECK(parameter.shape[1] == 32);
  CHECK(parameter.compression == ANET_COMPRESSION_NONE);
  CHECK(parameter.bytes == 4 * 32 * 4);
  // A is within 1 / sqrt(32), B is zero.
  for (const float value : read(adapter, find(adapter, q_a))) CHECK(std::abs(value) < 0.1768f);
  for (const float value : read(adapter, find(adapter, q_b))) CHECK(value == 0);
  anet_model* base = nullptr;
  must(anet_adapter_get_model, adapter.get(), &base);
  CHECK(Model(base).get() == model.get());
}

TEST_CASE("adapters that cannot be made") {
  const Model model = create_model();
  const auto outcome = [&](auto change) {
    anet_adapter_options options = lora();
    change(options);
    anet_adapter* adapter = nullptr;
    const Outcome result = attempt(anet_adapter_create, model.get(), &options, &adapter);
    CHECK(adapter == nullptr);
    return result;
  };
  CHECK(outcome([](auto& o) { o.rank = -1; }).status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome([](auto& o) { o.dropout = 1; }).status == ANET_E_INVALID_ARGUMENT);
  const Outcome unknown = outcome([](auto& o) { o.targets = "q_proj,k_prj"; });
  CHECK(unknown.status == ANET_E_INVALID_ARGUMENT);
  CHECK(unknown.says("k_prj"));
  CHECK(outcome([](auto& o) { o.targets = "q_proj,,v_proj"; }).status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome([](auto& o) { o.targets = ""; }).status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome([](auto& o) { o.dora = 2; }).status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(outcome([](auto& o) { o.first_layer = 2; }).status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome([](auto& o) { o.override_count = 1; }).status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome([](auto& o) { o.dora = 1, o.targets = "embed_tokens"; }).status ==
        ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("an adapter's parameters are read and written like a model's") {
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const size_t index = find(adapter, q_b);
  std::vector<float> values = read(adapter, index);
  values[3] = 2.5f;
  write(adapter, index, values);
  CHECK(read(adapter, index) == values);
  size_t missing = 0;
  const Outcome unknown = attempt(anet_adapter_find_parameter, adapter.get(),
                                  "model.layers.0.self_attn.q_proj.lora_C.weight", &missing);
  CHECK(unknown.status == ANET_E_NOT_FOUND);
  CHECK(unknown.says("did you mean"));
  CHECK(
      attempt(anet_adapter_read_parameter, adapter.get(), index, values.data(), size_t{1}).status ==
      ANET_E_SHAPE_MISMATCH);
  CHECK(
      attempt(anet_adapter_write_parameter, adapter.get(), index, nullptr, values.size()).status ==
      ANET_E_INVALID_ARGUMENT);
  auto parameter = initialised<anet_parameter>();
  CHECK(attempt(anet_adapter_get_parameter, adapter.get(),
                anet_adapter_parameter_count(adapter.get()), &parameter)
            .status == ANET_E_OUT_OF_RANGE);
}

TEST_CASE("handles of adapters are checked, and their order of release is free") {
  Model model = create_model();
  Adapter adapter = create_adapter(model.get());
  auto info = initialised<anet_adapter_info>();
  anet_adapter* none = nullptr;
  CHECK(attempt(anet_adapter_get_info, nullptr, &info).status == ANET_E_INVALID_ARGUMENT);
  CHECK(
      attempt(anet_adapter_get_info, reinterpret_cast<anet_adapter*>(model.get()), &info).status ==
      ANET_E_INVALID_HANDLE);
  CHECK(attempt(anet_adapter_create, reinterpret_cast<anet_model*>(adapter.get()), nullptr, &none)
            .status == ANET_E_INVALID_HANDLE);
  CHECK(attempt(anet_adapter_create, model.get(), nullptr, nullptr).status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(anet_adapter_parameter_count(nullptr) == 0);
  anet_adapter_retain(nullptr);
  anet_adapter_release(nullptr);
  model.reset();
  CHECK(info_of(adapter).module_count == 14);
  // Whoever uses the adapter keeps it.
  const Device device = open_device();
  Session session = train(device.get(), adapter.get());
  adapter.reset();
  step(session.get(), Tokens(1));
}

TEST_CASE("training an adapter leaves the model as it is") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const std::vector<float> before = read(model, "model.layers.0.self_attn.q_proj.weight");
  const Session session = train(device.get(), adapter.get());
  const Tokens tokens(3);
  const double first = eval(session.get(), tokens);
  for (int i = 0; i < 20; ++i) step(session.get(), tokens);
  CHECK(eval(session.get(), tokens) < first - 0.05);
  CHECK(read(model, "model.layers.0.self_attn.q_proj.weight") == before);
  // The session's arrays are the adapter's.
  const auto parameters = anet_adapter_parameter_count(adapter.get());
  auto last = initialised<anet_parameter>();
  must(anet_adapter_get_parameter, adapter.get(), parameters - 1, &last);
  const std::vector<float> weights = weights_of(session.get());
  CHECK(weights.size() >= last.offset + last.element_count);
  const std::vector<float> values = read(adapter, parameters - 1);
  CHECK(std::equal(values.begin(), values.end(), weights.begin() + ptrdiff_t(last.offset)));
  CHECK(gradients_of(session.get()).size() == weights.size());

  anet_adapter* same = nullptr;
  must(anet_session_get_adapter, session.get(), &same);
  CHECK(Adapter(same).get() == adapter.get());
  anet_model* base = nullptr;
  must(anet_session_get_model, session.get(), &base);
  CHECK(Model(base).get() == model.get());
  // The frozen model is not to be written to.
  size_t index = 0;
  must(anet_model_find_parameter, model.get(), "model.norm.weight", &index);
  const std::vector<float> norm(32, 1.0f);
  CHECK(attempt(anet_model_write_parameter, model.get(), index, norm.data(), norm.size()).status ==
        ANET_E_BUSY);
}

TEST_CASE("sessions of adapters refuse what belongs to others") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const anet_session_options options = session_options();
  anet_session* none = nullptr;
  {
    const Session session = train(device.get(), adapter.get());
    CHECK(
        attempt(anet_session_create_adapter, device.get(), adapter.get(), &options, &none).status ==
        ANET_E_BUSY);
    CHECK(attempt(anet_session_create, device.get(), model.get(), &options, &none).status ==
          ANET_E_BUSY);
  }
  anet_session_options partial = session_options();
  partial.trainable = "norm.weight";
  CHECK(attempt(anet_session_create_adapter, device.get(), adapter.get(), &partial, &none).status ==
        ANET_E_UNSUPPORTED_OPTION);
  const Session whole = create_session(device.get(), model.get());
  anet_adapter* found = nullptr;
  CHECK(attempt(anet_session_get_adapter, whole.get(), &found).status == ANET_E_INVALID_STATE);
  CHECK(attempt(anet_session_swap_adapter, whole.get(), adapter.get()).status ==
        ANET_E_INVALID_STATE);
}

TEST_CASE("sessions plan the memory of adapters") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const anet_session_options options = session_options();
  auto plan = initialised<anet_memory_plan>();
  must(anet_session_plan_adapter_memory, device.get(), adapter.get(), &options, &plan);
  const uint64_t weights = info_of(adapter).weight_count * 4;
  CHECK(plan.gradients >= weights);
  CHECK(plan.gradients < weights + weights / 4);
  CHECK(plan.optimizer >= 2 * weights);
  CHECK(plan.weights >= anet_model_weight_bytes(model.get()));
  const Session session = train(device.get(), adapter.get());
  auto made = initialised<anet_memory_plan>();
  must(anet_session_get_memory_plan, session.get(), &made);
  CHECK(made.total == plan.total);
}

TEST_CASE("a session swaps adapters and keeps their moments") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter first = create_adapter(model.get());
  const Adapter second = create_adapter(model.get());
  const Tokens one(1), two(2);
  // Alternating in one session is training each in a session of its own.
  const Session session = train(device.get(), first.get());
  for (int i = 0; i < 3; ++i) {
    step(session.get(), one);
    must(anet_session_swap_adapter, session.get(), second.get());
    step(session.get(), two);
    must(anet_session_swap_adapter, session.get(), first.get());
  }
  anet_adapter* current = nullptr;
  must(anet_session_get_adapter, session.get(), &current);
  CHECK(Adapter(current).get() == first.get());

  const Adapter large = create_adapter(model.get(), lora(3));
  const Outcome outcome = attempt(anet_session_swap_adapter, session.get(), large.get());
  CHECK((outcome.status == ANET_E_SHAPE_MISMATCH || outcome.status == ANET_E_INVALID_ARGUMENT));
  const Model other = create_model(5);
  const Adapter foreign = create_adapter(other.get());
  CHECK(attempt(anet_session_swap_adapter, session.get(), foreign.get()).status ==
        ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("a session of an adapter resumes") {
  const Folder folder;
  const Device device = open_device();
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const Tokens tokens(4);
  const Session session = train(device.get(), adapter.get());
  for (int i = 0; i < 3; ++i) step(session.get(), tokens);
  must(anet_session_save, session.get(), folder.path().c_str(), nullptr);
  for (int i = 0; i < 3; ++i) step(session.get(), tokens);

  anet_session* handle = nullptr;
  must(anet_session_resume_adapter, device.get(), model.get(), folder.path().c_str(), nullptr,
       &handle);
  const Session resumed(handle);
  for (int i = 0; i < 3; ++i) step(resumed.get(), tokens);
  CHECK(same_bits(weights_of(resumed.get()), weights_of(session.get())));

  // The checkpoint is an adapter that can be loaded, too.
  anet_adapter* loaded = nullptr;
  const std::string path = folder.path("step-00000003");
  must(anet_adapter_load, model.get(), path.c_str(), &loaded);
  CHECK(info_of(Adapter(loaded)).module_count == 14);
  anet_model* whole = nullptr;
  const Outcome refused = attempt(anet_model_load, path.c_str(), nullptr, &whole);
  CHECK(refused.status == ANET_E_INVALID_CHECKPOINT);
  CHECK(refused.says("of an adapter, which is loaded for its base"));

  const Model other = create_model(9);
  CHECK(attempt(anet_session_resume_adapter, device.get(), other.get(), folder.path().c_str(),
                nullptr, &handle)
            .status != ANET_OK);
  CHECK(handle == nullptr);
}

TEST_CASE("trained patterns leave the rest alone") {
  const Device device = open_device();
  const Model model = create_model();
  anet_session_options options = session_options();
  options.trainable = "layers.1.*, model.norm.weight";
  const Session session = create_session(device.get(), model.get(), options);
  const auto frozen = read(model, "model.layers.0.mlp.up_proj.weight");
  const auto trained = read(model, "model.layers.1.mlp.up_proj.weight");
  for (int i = 0; i < 3; ++i) step(session.get(), Tokens(1));
  CHECK(read(model, "model.layers.0.mlp.up_proj.weight") == frozen);
  CHECK(read(model, "model.layers.1.mlp.up_proj.weight") != trained);
  auto seen = initialised<anet_session_options>();
  must(anet_session_get_options, session.get(), &seen);
  CHECK(std::string(seen.trainable) == "layers.1.*,model.norm.weight");
  CHECK(attempt(anet_session_options_from_json, "{\"trainable\": [\"a\"]}", &seen).status ==
        ANET_E_INVALID_CONFIG);
  must(anet_session_options_from_json, "{\"learning_rate\": 0.5}", &seen);
  CHECK(std::string(seen.trainable) == "layers.1.*,model.norm.weight");
}

TEST_CASE("merging is attaching") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter first = create_adapter(model.get()), second = create_adapter(model.get(), lora(3));
  disturb(first);
  disturb(second, 0.05f);
  const std::vector<anet_weighted_adapter> both = {{first.get(), 0.5}, {second.get(), 2}};
  const Generator generator = create_generator(device.get(), model.get());
  const std::vector<float> plain = logits(generator);
  attach(generator, both);
  const std::vector<float> attached = logits(generator);
  CHECK(difference(attached, plain) > 1e-3);

  anet_model* merged = nullptr;
  must(anet_model_merge, model.get(), both.data(), both.size(), &merged);
  const Model owner(merged);
  CHECK(difference(logits(create_generator(device.get(), merged)), attached) < 1e-5);

  attach(generator, {});
  CHECK(logits(generator) == plain);
  must(anet_model_merge_in_place, model.get(), both.data(), both.size());
  CHECK(difference(logits(generator), attached) < 1e-5);
  CHECK(attempt(anet_model_merge_in_place, model.get(), both.data(), both.size()).status ==
        ANET_E_INVALID_STATE);
  must(anet_model_unmerge, model.get());
  CHECK(logits(generator) == plain);
  CHECK(attempt(anet_model_unmerge, model.get()).status == ANET_E_INVALID_STATE);
}

TEST_CASE("what cannot be merged or attached") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const Generator generator = create_generator(device.get(), model.get());
  anet_model* merged = nullptr;
  CHECK(attempt(anet_model_merge, model.get(), nullptr, size_t{0}, &merged).status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_model_merge, model.get(), nullptr, size_t{1}, &merged).status ==
        ANET_E_INVALID_ARGUMENT);
  const anet_weighted_adapter empty{nullptr, 1};
  CHECK(attempt(anet_generator_set_adapters, generator.get(), &empty, size_t{1}).status ==
        ANET_E_INVALID_ARGUMENT);
  const anet_weighted_adapter broken{adapter.get(), std::nan("")};
  CHECK(attempt(anet_generator_set_adapters, generator.get(), &broken, size_t{1}).status ==
        ANET_E_INVALID_ARGUMENT);
  anet_model_config config = tiny_config();
  config.layer_count = 1;
  anet_model* handle = nullptr;
  must(anet_model_create, &config, uint64_t{1}, &handle);
  const Model small(handle);
  const Adapter foreign = create_adapter(small.get());
  const anet_weighted_adapter other{foreign.get(), 1};
  CHECK(attempt(anet_generator_set_adapters, generator.get(), &other, size_t{1}).status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_model_merge, model.get(), &other, size_t{1}, &merged).status ==
        ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("an adapter in training is seen as it is at each call") {
  const Device device = open_device();
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  const Generator generator = create_generator(device.get(), model.get());
  attach(generator, {{adapter.get(), 1}});
  const std::vector<float> before = logits(generator);
  const Session session = train(device.get(), adapter.get());
  for (int i = 0; i < 5; ++i) step(session.get(), Tokens(1));
  const std::vector<float> after = logits(generator);
  CHECK(difference(before, after) > 1e-4);
  const anet_weighted_adapter own{adapter.get(), 1};
  anet_model* merged = nullptr;
  must(anet_model_merge, model.get(), &own, size_t{1}, &merged);
  const Model owner(merged);
  CHECK(difference(logits(create_generator(device.get(), merged)), after) < 1e-5);
}

namespace {

// Exchanges adapters at every token.
struct Swapper {
  anet_generator* generator;
  std::vector<anet_weighted_adapter> adapters;
  size_t next = 0;
  size_t failures = 0;

  static int32_t on_token(int32_t, const char*, size_t, void* user_data) {
    auto& self = *static_cast<Swapper*>(user_data);
    const size_t at = self.next++ % self.adapters.size();
    if (attempt(anet_generator_set_adapters, self.generator, &self.adapters[at], size_t{1})
            .status != ANET_OK)
      ++self.failures;
    return 0;
  }
};

} // namespace

TEST_CASE("adapters are exchanged a thousand times while a text is written") {
  const Device device = open_device();
  const Model model = create_model();
  std::vector<Adapter> adapters;
  Swapper swapper{nullptr, {}, 0, 0};
  for (int32_t rank = 1; rank <= 3; ++rank) {
    adapters.push_back(create_adapter(model.get(), lora(rank)));
    disturb(adapters.back(), 0.1f * static_cast<float>(rank));
    swapper.adapters.push_back({adapters.back().get(), 1});
  }
  auto options = initialised<anet_generator_options>();
  options.adapter_rank = 3;
  anet_generator* handle = nullptr;
  must(anet_generator_create, device.get(), model.get(), nullptr, &options, &handle);
  const Generator generator(handle);
  attach(generator, {swapper.adapters.front()});
  swapper.generator = handle;
  const std::vector<int32_t> prompt = {1, 2, 3};
  while (swapper.next < 1000) {
    anet_token_callback callback = Swapper::on_token;
    must(anet_generator_generate, handle, prompt.data(), prompt.size(), nullptr, callback,
         static_cast<void*>(&swapper), nullptr, size_t{0}, nullptr);
  }
  CHECK(swapper.failures == 0);
}

TEST_CASE("adapters go to files of other tools and come back") {
  const Folder folder;
  const Model model = create_model();
  const Adapter adapter = create_adapter(model.get());
  disturb(adapter);
  for (const anet_adapter_format format : {ANET_ADAPTER_PEFT, ANET_ADAPTER_MLX}) {
    const std::string path = folder.path("adapter" + std::to_string(format));
    auto options = initialised<anet_adapter_save_options>();
    options.format = format;
    options.base_name = "tiny";
    must(anet_adapter_save, adapter.get(), path.c_str(), &options);
    anet_adapter* handle = nullptr;
    must(anet_adapter_load, model.get(), path.c_str(), &handle);
    const Adapter loaded(handle);
    CHECK(read(loaded, find(loaded, q_a)) == read(adapter, find(adapter, q_a)));
    CHECK(read(loaded, find(loaded, q_b)) == read(adapter, find(adapter, q_b)));
  }
  auto options = initialised<anet_adapter_save_options>();
  options.format = ANET_ADAPTER_GGUF;
  const std::string file = folder.path("adapter.gguf");
  must(anet_adapter_save, adapter.get(), file.c_str(), &options);
  CHECK(read_file(file).substr(0, 4) == "GGUF");
  options.format = 3;
  CHECK(attempt(anet_adapter_save, adapter.get(), file.c_str(), &options).status ==
        ANET_E_UNSUPPORTED_OPTION);
  options.format = ANET_ADAPTER_PEFT;
  options.type = ANET_EXPORT_Q8_0;
  CHECK(attempt(anet_adapter_save, adapter.get(), file.c_str(), &options).status ==
        ANET_E_UNSUPPORTED_OPTION);
  anet_adapter* none = nullptr;
  const std::string absent = folder.path("absent");
  CHECK(attempt(anet_adapter_load, model.get(), absent.c_str(), &none).status ==
        ANET_E_FILE_NOT_FOUND);
}
