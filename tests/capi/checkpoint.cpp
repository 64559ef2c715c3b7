// Checkpoints: what comes back, which one is found, and what happens to damaged ones.
#include "support.h"

#include <csignal>
#include <filesystem>
#include <functional>

#include <sys/resource.h>

using namespace test;

namespace {

Dataset dataset() { return create_dataset(token_stream(500)); }

anet_session_options scheduled_options() {
  anet_session_options options = session_options();
  options.accumulation_steps = 2;
  options.schedule = ANET_SCHEDULE_COSINE;
  options.warmup_steps = 2;
  options.total_steps = 8;
  options.min_learning_rate = 1e-3;
  options.seed = 99;
  return options;
}

void fit(anet_session* session, int64_t steps) {
  if (steps == 0) return;
  auto options = initialised<anet_fit_options>();
  options.steps = steps;
  must(anet_session_fit, session, dataset().get(), nullptr, &options, nullptr);
}

void save(anet_session* session, const std::string& root, int32_t keep_last = 0) {
  auto options = initialised<anet_save_options>();
  options.keep_last = keep_last;
  must(anet_session_save, session, root.c_str(), &options);
}

void save_with_loss(anet_session* session, const std::string& root, double loss,
                    int32_t keep_last) {
  auto options = initialised<anet_save_options>();
  options.keep_last = keep_last;
  options.has_validation_loss = 1;
  options.validation_loss = loss;
  must(anet_session_save, session, root.c_str(), &options);
}

Session resume(anet_device* device, const std::string& path,
               const anet_session_options* options = nullptr) {
  anet_session* session = nullptr;
  must(anet_session_resume, device, path.c_str(), options, &session);
  return Session(session);
}

anet_status resume_status(anet_device* device, const std::string& path,
                          const anet_session_options* options = nullptr) {
  anet_session* session = nullptr;
  const anet_status status =
      attempt(anet_session_resume, device, path.c_str(), options, &session).status;
  CHECK((session != nullptr) == (status == ANET_OK));
  anet_session_release(session);
  return status;
}

std::string find(const std::string& root, anet_checkpoint_choice choice = ANET_CHECKPOINT_LATEST) {
  std::string path(4096, '\0');
  size_t length = 0;
  must(anet_checkpoint_find, root.c_str(), choice, path.data(), path.size(), &length);
  CHECK(path[length] == '\0');
  path.resize(length);
  return path;
}

anet_status find_status(const std::string& root,
                        anet_checkpoint_choice choice = ANET_CHECKPOINT_LATEST) {
  size_t length = 0;
  return attempt(anet_checkpoint_find, root.c_str(), choice, nullptr, size_t{0}, &length).status;
}

std::string name(int step) {
  const std::string digits = std::to_string(step);
  return "step-" + std::string(8 - digits.size(), '0') + digits;
}

std::vector<std::string> checkpoints(const std::string& root) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

void flip_byte(const std::string& path, size_t from_end) {
  std::string bytes = read_file(path);
  REQUIRE(bytes.size() > from_end);
  bytes[bytes.size() - 1 - from_end] ^= 1;
  write_file(path, bytes);
}

struct Training {
  Device device = open_device();
  Model model = create_model();
  Session session = create_session(device.get(), model.get(), scheduled_options());
};

} // namespace

TEST_CASE("a resumed run equals the uninterrupted one bit for bit") {
  const Folder folder;
  Training whole;
  fit(whole.session.get(), 6);
  save(whole.session.get(), folder.path("whole"));
  const std::vector<float> expected = weights_of(whole.session.get());
  for (int64_t k = 0; k <= 6; ++k) {
    const std::string root = folder.path("part" + std::to_string(k));
    Session session;
    {
      Training part;
      fit(part.session.get(), k);
      save(part.session.get(), root);
      // By the root and by the checkpoint.
      session = resume(part.device.get(), k % 2 == 0 ? root : find(root));
    }
    fit(session.get(), 6 - k);
    CHECK(same_bits(weights_of(session.get()), expected));
    save(session.get(), root);
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      CHECK_MESSAGE(read_file(root + "/" + name(6) + "/" + file) ==
                        read_file(folder.path("whole/" + name(6) + "/" + file)),
                    file);
  }
}

TEST_CASE("everything that belongs to a run comes back") {
  const Folder folder;
  Training training;
  must(anet_session_set_property, training.session.get(), "note", "caf\xc3\xa9 \"quoted\"");
  fit(training.session.get(), 2);
  must(anet_session_set_cursor, training.session.get(), uint64_t{1234567});
  save(training.session.get(), folder.path());
  const Session session = resume(training.device.get(), folder.path());

  auto before = initialised<anet_session_options>();
  auto after = initialised<anet_session_options>();
  must(anet_session_get_options, training.session.get(), &before);
  must(anet_session_get_options, session.get(), &after);
  CHECK(std::memcmp(&before, &after, sizeof(before)) == 0);
  int64_t step = 0;
  must(anet_session_get_step, session.get(), &step);
  CHECK(step == 2);
  uint64_t cursor = 0;
  must(anet_session_get_cursor, session.get(), &cursor);
  CHECK(cursor == 1234567);
  const char* note = nullptr;
  must(anet_session_get_property, session.get(), "note", &note);
  CHECK(note == std::string("caf\xc3\xa9 \"quoted\""));
  anet_model* handle = nullptr;
  must(anet_session_get_model, session.get(), &handle);
  const Model model(handle);
  auto config = initialised<anet_model_config>();
  auto original = initialised<anet_model_config>();
  must(anet_model_get_config, model.get(), &config);
  must(anet_model_get_config, training.model.get(), &original);
  CHECK(std::memcmp(&config, &original, sizeof(config)) == 0);
}

TEST_CASE("a resume may change options that leave the optimizer's state alone") {
  const Folder folder;
  Training training;
  fit(training.session.get(), 2);
  save(training.session.get(), folder.path());
  anet_session_options options = scheduled_options();
  options.batch_size = 1;
  options.learning_rate = 0.5;
  const Session session = resume(training.device.get(), folder.path(), &options);
  auto actual = initialised<anet_session_options>();
  must(anet_session_get_options, session.get(), &actual);
  CHECK(actual.batch_size == 1);
  CHECK(actual.learning_rate == 0.5);
  options = session_options();
  options.optimizer = ANET_OPTIMIZER_SGD;
  CHECK(resume_status(training.device.get(), folder.path(), &options) == ANET_E_INVALID_CHECKPOINT);
}

TEST_CASE("a model loads from a checkpoint") {
  const Folder folder;
  Training training;
  fit(training.session.get(), 1);
  save(training.session.get(), folder.path());
  anet_model* handle = nullptr;
  must(anet_model_load, find(folder.path()).c_str(), nullptr, &handle);
  const Model model(handle);
  const Session session = create_session(training.device.get(), model.get());
  CHECK(same_bits(weights_of(session.get()), weights_of(training.session.get())));
}

TEST_CASE("old checkpoints go, the best one stays") {
  const Folder folder;
  Training training;
  const double losses[] = {3.0, 1.5, 2.0, 1.7, 1.9};
  for (double loss : losses) {
    fit(training.session.get(), 1);
    save_with_loss(training.session.get(), folder.path(), loss, 2);
  }
  CHECK(checkpoints(folder.path()) == std::vector<std::string>{name(2), name(4), name(5)});
  CHECK(find(folder.path()) == folder.path(name(5)));
  CHECK(find(folder.path(), ANET_CHECKPOINT_BEST) == folder.path(name(2)));
  // A damaged best is none, and the error says so.
  std::filesystem::remove(std::filesystem::path(folder.path(name(2))) / "state.json");
  size_t length = 0;
  const Outcome damaged =
      attempt(anet_checkpoint_find, folder.path().c_str(),
              anet_checkpoint_choice{ANET_CHECKPOINT_BEST}, nullptr, size_t{0}, &length);
  CHECK(damaged.status == ANET_E_NOT_FOUND);
  CHECK(damaged.says("damaged"));
  // Zero keeps all.
  fit(training.session.get(), 1);
  save(training.session.get(), folder.path());
  CHECK(checkpoints(folder.path()).size() == 4);
}

TEST_CASE("bad save options") {
  Training training;
  const Folder folder;
  const auto status = [&](const std::function<void(anet_save_options&)>& change) {
    auto options = initialised<anet_save_options>();
    change(options);
    return attempt(anet_session_save, training.session.get(), folder.path().c_str(), &options)
        .status;
  };
  CHECK(status([](auto& o) { o.keep_last = -1; }) == ANET_E_INVALID_ARGUMENT);
  CHECK(status([](auto& o) { o.validation_loss = 1; }) == ANET_E_UNSUPPORTED_OPTION);
  CHECK(status([](auto& o) { o.has_validation_loss = 2; }) == ANET_E_UNSUPPORTED_OPTION);
  CHECK(status([](auto& o) {
          o.has_validation_loss = 1;
          o.validation_loss = std::numeric_limits<double>::infinity();
        }) == ANET_E_INVALID_ARGUMENT);
  CHECK(checkpoints(folder.path()).empty());
}

TEST_CASE("sizes of paths and JSON") {
  const Folder folder;
  Training training;
  save(training.session.get(), folder.path());
  const std::string expected = folder.path(name(0));
  size_t length = 0;
  must(anet_checkpoint_find, folder.path().c_str(), anet_checkpoint_choice{0}, nullptr, size_t{0},
       &length);
  CHECK(length == expected.size());
  std::string path(length, '!');
  length = 0;
  // No room for the terminator.
  CHECK(attempt(anet_checkpoint_find, folder.path().c_str(), anet_checkpoint_choice{0}, path.data(),
                path.size(), &length)
            .status == ANET_E_OUT_OF_RANGE);
  CHECK(length == expected.size());
  CHECK(path[0] == '!');
  CHECK(attempt(anet_checkpoint_find, folder.path().c_str(), anet_checkpoint_choice{2}, nullptr,
                size_t{0}, &length)
            .status == ANET_E_INVALID_ARGUMENT);

  must(anet_checkpoint_inspect, expected.c_str(), nullptr, size_t{0}, &length);
  std::string json(length + 1, '\0');
  must(anet_checkpoint_inspect, expected.c_str(), json.data(), json.size(), &length);
  json.resize(length);
  CHECK(json == read_file(expected + "/state.json"));
  CHECK(json.find("\"step\"") != std::string::npos);
}

TEST_CASE("a damaged latest checkpoint is passed over") {
  const Folder folder;
  Training training;
  fit(training.session.get(), 1);
  save(training.session.get(), folder.path());
  const std::vector<float> first = weights_of(training.session.get());
  fit(training.session.get(), 1);
  save(training.session.get(), folder.path());
  flip_byte(folder.path(name(2) + "/model.safetensors"), 10);

  CHECK(find(folder.path()) == folder.path(name(1)));
  CHECK(same_bits(weights_of(resume(training.device.get(), folder.path()).get()), first));
  CHECK(resume_status(training.device.get(), folder.path(name(2))) == ANET_E_CHECKSUM);

  flip_byte(folder.path(name(1) + "/optimizer.safetensors"), 10);
  size_t length = 0;
  const Outcome outcome = attempt(anet_checkpoint_find, folder.path().c_str(),
                                  anet_checkpoint_choice{0}, nullptr, size_t{0}, &length);
  CHECK(outcome.status == ANET_E_NOT_FOUND);
  CHECK(outcome.says(name(1)));
  CHECK(outcome.says(name(2)));
  CHECK(outcome.says("checksum"));
}

TEST_CASE("bad checkpoints are told apart") {
  const Folder folder;
  Training training;
  const std::string path = folder.path(name(0));
  const auto damage = [&](const std::function<void()>& change) {
    std::filesystem::remove_all(path);
    save(training.session.get(), folder.path());
    change();
    const anet_status status = resume_status(training.device.get(), path);
    size_t length = 0;
    CHECK(attempt(anet_checkpoint_inspect, path.c_str(), nullptr, size_t{0}, &length).status ==
          status);
    anet_model* model = nullptr;
    // To the loader of all formats a folder without state.json is no model at all.
    const bool recognised = std::filesystem::exists(path + "/state.json");
    CHECK(attempt(anet_model_load, path.c_str(), nullptr, &model).status ==
          (recognised ? status : ANET_E_INVALID_DATA));
    anet_model_release(model);
    return status;
  };
  CHECK(damage([] {}) == ANET_OK);
  CHECK(damage([&] { flip_byte(path + "/model.safetensors", 0); }) == ANET_E_CHECKSUM);
  CHECK(damage([&] { flip_byte(path + "/optimizer.safetensors", 0); }) == ANET_E_CHECKSUM);
  CHECK(damage([&] {
          const std::string file = path + "/model.safetensors";
          std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
        }) == ANET_E_INVALID_CHECKPOINT);
  CHECK(damage([&] { std::filesystem::remove(path + "/optimizer.safetensors"); }) ==
        ANET_E_INVALID_CHECKPOINT);
  CHECK(damage([&] { std::filesystem::remove(path + "/state.json"); }) ==
        ANET_E_INVALID_CHECKPOINT);
  CHECK(damage([&] { write_file(path + "/state.json", "{\"step\": 1"); }) ==
        ANET_E_INVALID_CHECKPOINT);
  CHECK(damage([&] {
          std::string state = read_file(path + "/state.json");
          const std::string version = "\"format_version\": 1";
          REQUIRE(state.find(version) != std::string::npos);
          state.replace(state.find(version), version.size(), "\"format_version\": 2");
          write_file(path + "/state.json", state);
        }) == ANET_E_VERSION);
}

TEST_CASE("a checkpoint that vanished between finding and loading") {
  const Folder folder;
  Training training;
  save(training.session.get(), folder.path());
  const std::string path = find(folder.path());
  std::filesystem::remove_all(path);
  CHECK(resume_status(training.device.get(), path) == ANET_E_FILE_NOT_FOUND);
  CHECK(find_status(folder.path()) == ANET_E_NOT_FOUND);
  CHECK(find_status(folder.path(), ANET_CHECKPOINT_BEST) == ANET_E_NOT_FOUND);
  CHECK(find_status(folder.path("nowhere")) == ANET_E_NOT_FOUND);
}

TEST_CASE("without room on the disk a save fails and the older checkpoint stands") {
  const Folder folder;
  Training training;
  fit(training.session.get(), 1);
  save(training.session.get(), folder.path());
  fit(training.session.get(), 1);

  // The kernel refuses to let any file grow beyond this.
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit limited = before;
  limited.rlim_cur = 8192;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limited) == 0);
  const Outcome outcome =
      attempt(anet_session_save, training.session.get(), folder.path().c_str(), nullptr);
  const Outcome model =
      attempt(anet_model_save, training.model.get(), folder.path("model.safetensors").c_str());
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, previous);

  for (const Outcome& failed : {outcome, model}) {
    CHECK((failed.status == ANET_E_IO || failed.status == ANET_E_DISK_FULL));
    CHECK(failed.domain == "errno");
    CHECK(failed.native_code == EFBIG);
  }
  // Nothing half-written is left.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 1);
  CHECK(find(folder.path()) == folder.path(name(1)));
  save(training.session.get(), folder.path());
  CHECK(find(folder.path()) == folder.path(name(2)));
}

TEST_CASE("a root that cannot be a folder") {
  const Folder folder;
  Training training;
  write_file(folder.path("file"), "x");
  const Outcome outcome =
      attempt(anet_session_save, training.session.get(), folder.path("file/run").c_str(), nullptr);
  CHECK(outcome.status != ANET_OK);
  CHECK(outcome.domain == "errno");
}
