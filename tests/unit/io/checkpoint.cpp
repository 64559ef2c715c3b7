#include "io/checkpoint.h"

#include "test_files.h"

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <limits>
#include <memory>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace anet;
using namespace anet::io;
using namespace anet::test;
using Names = std::vector<std::string>;

namespace {

// A model of two tensors whose values all are its step.
struct Model {
  explicit Model(int64_t at_step, size_t size = 8)
      : step(at_step), weight(size, static_cast<float>(at_step)),
        average(size, static_cast<float>(at_step) + 0.5f) {
    const auto extent = static_cast<int64_t>(size);
    weights = {float_tensor("w", {extent}, weight), float_tensor("b", {2, extent / 2}, weight)};
    optimizer = {float_tensor("w.exp_avg", {extent}, average)};
  }
  CheckpointContents contents() const {
    CheckpointContents result;
    result.step = step;
    result.library_version = "0.1.0";
    result.weights = weights;
    result.optimizer = optimizer;
    result.sections.set("model", Json::object().set("layers", 2).set("eps", 1e-5));
    result.sections.set("rng", Json::object().set("seed", ~uint64_t{0}).set("counter", step));
    return result;
  }

  int64_t step;
  std::vector<float> weight;
  std::vector<float> average;
  std::vector<TensorView> weights;
  std::vector<TensorView> optimizer;
};

bool holds(const CheckpointReader& reader, int64_t step) {
  for (const float value : to_float(reader.weights().tensor("w")))
    if (value != static_cast<float>(step)) return false;
  for (const float value : to_float(reader.optimizer().tensor("w.exp_avg")))
    if (value != static_cast<float>(step) + 0.5f) return false;
  return reader.step() == step && reader.section("rng").at("counter").integer() == step;
}

Status open_status(const std::string& path) {
  const auto error = error_of([&] { CheckpointReader reader(path); });
  return error ? error->status() : Status::ok;
}

std::vector<int64_t> steps_of(const std::vector<CheckpointEntry>& entries) {
  std::vector<int64_t> steps;
  for (const CheckpointEntry& entry : entries) steps.push_back(entry.step);
  return steps;
}

void flip_bit(const std::string& path, size_t offset) {
  std::string text = get(path);
  text[offset] = static_cast<char>(text[offset] ^ 1);
  put(path, text);
}

} // namespace

TEST_CASE("a checkpoint comes back as it was saved") {
  const TemporaryDirectory root;
  const Model model(7);
  save_checkpoint(root / "c", model.contents());
  const CheckpointReader reader(root / "c");
  CHECK(holds(reader, 7));
  CHECK(reader.library_version() == "0.1.0");
  CHECK(reader.sections() == model.contents().sections);
  CHECK(reader.section("rng").at("seed").unsigned_integer() == ~uint64_t{0});
  CHECK(reader.weights().tensor("b").shape == mil::Shape{2, 4});
  CHECK(message_of([&] { reader.section("data"); }) ==
        "expected a key 'data' at 'sections', seen none");
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root / "c"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  CHECK(names == Names{"model.safetensors", "optimizer.safetensors", "state.json"});
  save_checkpoint(root / "c", Model(8).contents()); // in its place
  CHECK(holds(CheckpointReader(root / "c"), 8));
  CHECK(holds(reader, 7)); // an open one is not disturbed
  CHECK(root.names() == Names{"c"});
}

TEST_CASE("every flipped bit and every cut of every file is found") {
  const TemporaryDirectory root;
  const std::string path = root / "c";
  const Model model(7);
  save_checkpoint(path, model.contents());
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const std::string file = join_path(path, name);
    const std::string original = get(file);
    for (size_t offset = 0; offset < original.size(); ++offset) {
      flip_bit(file, offset);
      const Status status = open_status(path);
      const bool found = status == Status::checksum || status == Status::invalid_checkpoint ||
                         status == Status::version;
      if (!found) FAIL(name, " ", offset, " ", status_name(status));
      put(file, original);
    }
    for (size_t size = 0; size < original.size(); ++size) {
      put(file, original.substr(0, size));
      if (open_status(path) != Status::invalid_checkpoint) FAIL(name, " cut at ", size);
    }
    std::filesystem::remove(file);
    CHECK(open_status(path) == Status::invalid_checkpoint);
    put(file, original);
  }
  CHECK(open_status(path) == Status::ok);
  CHECK(open_status(root / "none") == Status::file_not_found);
}

TEST_CASE("messages say what is wrong with a checkpoint") {
  const TemporaryDirectory root;
  const std::string path = root / "c";
  const auto open = [&] { CheckpointReader reader(path); };
  save_checkpoint(path, Model(7).contents());
  const std::string model_file = path + "/model.safetensors";
  const std::string size = std::to_string(get(model_file).size());
  put(model_file, "short");
  CHECK(message_of(open) == "expected " + size + " bytes in '" + model_file + "', seen 5");
  std::filesystem::remove(model_file);
  CHECK(message_of(open) ==
        "expected a file 'model.safetensors' in checkpoint '" + path + "', seen none");
  std::filesystem::remove(path + "/state.json");
  CHECK(message_of(open) == "expected a file 'state.json' in checkpoint '" + path + "', seen none");
  put(path + "/state.json", "{\"format_version\": 2}"); // of a later library: nothing else is known
  CHECK(message_of(open) == "expected checkpoint format 1 or older in '" + path + "', seen 2");
  CHECK(error_of(open)->status() == Status::version);
}

TEST_CASE("invalid contents are refused before anything is written") {
  const TemporaryDirectory root;
  const Model model(1);
  CheckpointContents contents = model.contents();
  contents.step = -1;
  CHECK(error_of([&] { save_checkpoint(root / "c", contents); })->status() ==
        Status::invalid_argument);
  contents = model.contents();
  contents.sections = Json::array();
  CHECK(error_of([&] { save_checkpoint(root / "c", contents); })->status() ==
        Status::invalid_argument);
  contents = model.contents();
  contents.sections.set("loss", std::nan("")); // found late: the temporary must go
  CHECK(error_of([&] { save_checkpoint(root / "c", contents); })->status() ==
        Status::invalid_argument);
  CHECK(root.names().empty());
}

TEST_CASE("tensors are compared with what a model expects") {
  const TemporaryDirectory root;
  const Model model(1);
  save_checkpoint(root / "c", model.contents());
  const CheckpointReader reader(root / "c");
  const auto check = [&](const std::vector<TensorInfo>& expected) {
    const auto error = error_of([&] { check_tensors(reader.weights(), expected, "weights"); });
    if (error) CHECK(error->status() == Status::invalid_checkpoint);
    return error ? error->message() : "no error";
  };
  using mil::DataType;
  const TensorInfo w = {"w", DataType::fp32, {8}};
  const TensorInfo b = {"b", DataType::fp32, {2, 4}};
  CHECK(check({w, b}) == "no error");
  CHECK(check({w, b, {"c", DataType::fp32, {1}}}) == "weights: expected a tensor 'c', seen none");
  CHECK(check({w}) == "weights: unexpected tensor 'b'");
  CHECK(check({w, {"b", DataType::fp32, {8}}}) ==
        "weights: expected shape [8] of tensor 'b', seen [2, 4]");
  CHECK(check({{"w", DataType::fp16, {8}}, b}) ==
        "weights: expected type fp16 of tensor 'w', seen F32");
}

TEST_CASE("names of checkpoints are read strictly") {
  CHECK(checkpoint_name(100) == "step-00000100");
  CHECK(checkpoint_name(1234567890123) == "step-1234567890123");
  for (const int64_t step :
       {int64_t{0}, int64_t{99999999}, int64_t{100000000}, std::numeric_limits<int64_t>::max()})
    CHECK(checkpoint_step(checkpoint_name(step)) == step);
  for (const char* name :
       {"", "step-", "step-100", "step-000000100", "step-0000010x", "Step-00000100",
        "step-+0000100", "step--0000100", "step-99999999999999999999", ".step-00000100.tmp-1-0"})
    CHECK_MESSAGE(checkpoint_step(name) == std::nullopt, name);
}

TEST_CASE("the latest checkpoint is the newest that is whole") {
  const TemporaryDirectory root;
  const CheckpointStore store(root / "run");
  CHECK(store.list().empty());
  CHECK_FALSE(store.latest());
  CheckpointStore writer(root / "run");
  for (const int64_t step : {100, 200, 300}) writer.save(Model(step).contents());
  CHECK(steps_of(store.list()) == std::vector<int64_t>{100, 200, 300});
  CHECK(store.problems().empty());
  CHECK(holds(*store.open_latest(), 300));
  flip_bit(root / "run/step-00000300/model.safetensors", 150);
  CHECK(store.latest()->step == 200);
  std::filesystem::remove(root / "run/step-00000200/state.json");
  std::filesystem::create_directory(root / "run/step-00000400"); // empty
  std::filesystem::copy(root / "run/step-00000100", root / "run/step-00000500",
                        std::filesystem::copy_options::recursive); // under a false name
  CHECK(store.latest()->step == 100);
  const auto problems = store.problems();
  REQUIRE(problems.size() == 4);
  CHECK(problems[0].entry.step == 200);
  CHECK(problems[0].message.find("expected a file 'state.json'") == 0);
  CHECK(problems[1].status == Status::checksum);
  CHECK(problems[2].entry.step == 400);
  CHECK(problems[3].message.starts_with("expected step 500 in "));
  // A later library's: not damage, and not to be passed over in silence.
  put(root / "run/step-00000400/state.json", "{\"format_version\": 2}");
  CHECK(error_of([&] {
          std::filesystem::remove_all(root / "run/step-00000500");
          store.latest();
        })->status() == Status::version);
}

TEST_CASE("retention keeps the newest and the best") {
  const TemporaryDirectory root;
  CheckpointStore store(root.path(), {.keep_last = 2});
  const double losses[] = {5.0, 3.0, 4.0, std::nan(""), 3.5};
  for (int64_t i = 0; i < 5; ++i) store.save(Model(i + 1).contents(), losses[i]);
  CHECK(steps_of(store.list()) == std::vector<int64_t>{2, 4, 5});
  CHECK(store.best()->entry.step == 2);
  CHECK(store.best()->loss == 3.0);
  CHECK(root.names() == Names{"best.json", "step-00000002", "step-00000004", "step-00000005"});
  store.save(Model(6).contents());
  store.save(Model(7).contents(), 2.5); // the new best frees the old one
  CHECK(steps_of(store.list()) == std::vector<int64_t>{6, 7});
  CHECK(store.best()->entry.step == 7);
  // From an earlier step again, because later ones are damaged: not deleted at once.
  flip_bit(root / "step-00000006/model.safetensors", 150);
  flip_bit(root / "step-00000007/model.safetensors", 150);
  store.save(Model(3).contents());
  CHECK(steps_of(store.list()) == std::vector<int64_t>{3, 6, 7});
  CHECK(store.latest()->step == 3);
  store.save(Model(7).contents(), 9.0);
  CHECK(store.best()->loss == 9.0);
  std::filesystem::remove_all(root / "step-00000007");
  CHECK_FALSE(store.best());
  put(root / "best.json", "{\"checkpoint\": \"../../etc\", \"loss\": 1}");
  CHECK(error_of([&] { store.best(); })->status() == Status::invalid_checkpoint);
  // Nobody knows which one it was: none is deleted, and the next one with a loss is the best.
  store.save(Model(8).contents());
  store.save(Model(9).contents());
  CHECK(steps_of(store.list()) == std::vector<int64_t>{6, 8, 9});
  store.save(Model(10).contents(), 99.0);
  CHECK(store.best()->entry.step == 10);
  CHECK(steps_of(store.list()) == std::vector<int64_t>{9, 10});
  CHECK(error_of([] { CheckpointStore bad("x", {.keep_last = -1}); })->status() ==
        Status::invalid_argument);
}

TEST_CASE("a save beside another run's later checkpoints is refused") {
  const TemporaryDirectory root;
  CheckpointStore store(root / "run", {.keep_last = 1});
  store.check_no_later(0); // there is no root yet
  CheckpointStore(root / "run").save(Model(100).contents(), 2.0);
  CheckpointStore(root / "run").save(Model(300).contents(), 1.0);
  const auto refused = error_of([&] { store.save(Model(200).contents(), 0.5); });
  REQUIRE(refused);
  CHECK(refused->status() == Status::invalid_argument);
  CHECK(refused->message().find("step-00000300") != std::string::npos);
  CHECK(steps_of(store.list()) == std::vector<int64_t>{100, 300});
  CHECK(store.best()->entry.step == 300);
  CHECK(error_of([&] { store.check_no_later(299); }).has_value());
  store.check_no_later(300);
  CheckpointStore(root / "run").save(Model(300, 20).contents()); // the same step: in its place
  // What cannot be loaded is nobody's latest; a later library's can.
  flip_bit(root / "run/step-00000300/model.safetensors", 150);
  store.save(Model(200).contents());
  CHECK(store.latest()->step == 200);
  put(root / "run/step-00000300/state.json", "{\"format_version\": 2}");
  CHECK(error_of([&] { store.save(Model(200).contents()); })->status() == Status::version);
}

TEST_CASE("whichever call fails, the previous checkpoint loads and no temporary stays") {
  for (const bool replaces : {false, true})
    for (const int error : {ENOSPC, EIO}) {
      int64_t n = 0;
      for (bool failed = true; failed; ++n) {
        const TemporaryDirectory root;
        FaultyFileSystem unsynced; // many rounds of fsync would take their time
        CheckpointStore(root.path(), {}, unsynced).save(Model(1).contents(), 2.0);
        CheckpointStore(root.path(), {}, unsynced).save(Model(2).contents(), 3.0);
        FaultyFileSystem files;
        files.fail_at = n;
        files.error = error;
        CheckpointStore store(root.path(), {.keep_last = 1}, files);
        const int64_t step = replaces ? 2 : 3;
        const auto seen = error_of([&] { store.save(Model(step).contents(), 1.0); });
        failed = files.failed;
        CAPTURE(n);
        CAPTURE(replaces);
        CHECK(files.open_files == 0);
        for (const std::string& name : root.names()) CHECK_MESSAGE(name[0] != '.', name);
        const CheckpointStore after(root.path());
        CHECK(after.problems().empty());
        const auto latest = after.open_latest();
        REQUIRE(latest);
        CHECK((holds(*latest, step) || (seen && holds(*latest, 2))));
        CHECK(after.best().has_value());
        if (seen) CHECK(seen->status() == (error == ENOSPC ? Status::disk_full : Status::io));
      }
      CHECK(n > 40);
    }
}

TEST_CASE("a failure while a checkpoint is read is reported and leaks nothing") {
  const TemporaryDirectory root;
  save_checkpoint(root / "c", Model(1).contents());
  int64_t n = 0;
  for (bool failed = true; failed; ++n) {
    FaultyFileSystem files;
    files.fail_at = n;
    const auto seen = error_of([&] { CheckpointReader reader(root / "c", files); });
    failed = files.failed;
    CAPTURE(n);
    CHECK(files.open_files == 0);
    if (seen) CHECK(seen->status() == Status::io);
  }
  CHECK(n > 15);
}

// A process that is killed at any moment leaves a checkpoint that loads. The child reports the step
// of each save that has returned, through a pipe: nothing later may be lost.
TEST_CASE("a killed process loses no finished checkpoint") {
  const TemporaryDirectory root;
  CheckpointStore(root.path()).save(Model(0).contents(), 1e9);
  int64_t step = 0;
  for (int round = 0; round < 25; ++round) {
    int report[2];
    REQUIRE(::pipe(report) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(report[0]);
      FaultyFileSystem files; // without the time of fsync: a kill cannot undo what the kernel has
      CheckpointStore store(root.path(), {.keep_last = 2}, files);
      for (int64_t i = step + 1;; ++i) {
        // Every other save replaces the one before.
        const int64_t saved = i - (i & 1);
        store.save(Model(saved, 2000).contents(), 1.0 / static_cast<double>(i));
        if (::write(report[1], &saved, sizeof(saved)) != sizeof(saved)) ::_exit(1);
      }
    }
    ::close(report[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(2000 + (round * 7919) % 9000));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    int64_t finished = step - 1; // of which the last child was the writer
    while (::read(report[0], &finished, sizeof(finished)) == sizeof(finished)) {
    }
    ::close(report[0]);
    const CheckpointStore store(root.path());
    const auto latest = store.open_latest();
    REQUIRE(latest);
    CHECK(latest->step() >= finished);
    CHECK(holds(*latest, latest->step()));
    CHECK(store.best().has_value());
    for (const CheckpointProblem& problem : store.problems()) FAIL(problem.message);
    step = latest->step() + 1;
  }
  CHECK(step > 25); // the children did save
  // The next writer removes what the killed ones left.
  CheckpointStore(root.path(), {.keep_last = 2}).save(Model(step).contents());
  for (const std::string& name : root.names()) CHECK_MESSAGE(name[0] != '.', name);
}
