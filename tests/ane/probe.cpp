// What the probe finds out about each chip and each quirk, and what it keeps.
#include "device_support.h"

#include "backend/ane/probe_cache.h"
#include "base/file.h"

#include <doctest/doctest.h>
#include <map>

using namespace anet;
using namespace anet::backend;
using namespace anet::test;
using backend::testing::Runner;

namespace {

const Json& rules_of(const Json& report) { return *report.find("rules"); }

bool flag(const Json& report, const char* name) {
  return *rules_of(report).find(name)->if_boolean();
}

std::string text(const Json& report, const char* name) {
  return *rules_of(report).find(name)->if_string();
}

int64_t number(const Json& report, const char* name) {
  return *rules_of(report).find(name)->to_int64();
}

Json opened(const AskingFixture& fixture) { return report_of(*fixture.open()); }

// A kernel compiled by the rules that were found computes what it should.
void check_product(Device& device, const std::string& what) {
  const mil::Function function = product_function(24);
  const auto inputs = model_inputs(function, small_models().front().config, 1);
  Runner runner(device, function);
  check_near(runner.run(inputs), mil::interpret(function, inputs, mil::Precision::f16), 5e-3, what);
  CHECK_MESSAGE(runner.kernel().placement().where == "ane", what);
}

std::string cache_file(const AskingFixture& fixture) {
  const std::string folder = fixture.options().ane.cache_directory;
  const std::vector<std::string> names = list_directory(folder);
  REQUIRE(names.size() == 1);
  return folder + "/" + names.front();
}

} // namespace

TEST_CASE("every chip gets the rules of the facts") {
  struct Expected {
    int64_t width;
    bool clamps;
    std::string int8_form;
    std::string chip;
  };
  // ane-facts.md 1.11, 3.4, 4.5, 6.
  const std::map<std::string, Expected> chips = {{"m1", {16384, true, "affine", "h13g"}},
                                                 {"m3", {16384, false, "blockwise", "h15g"}},
                                                 {"m4", {65536, false, "blockwise", "h16g"}},
                                                 {"m5", {65536, false, "blockwise", "h17s"}},
                                                 {"a17", {65536, false, "blockwise", "h16"}}};
  for (const auto& [profile, expected] : chips) {
    INFO(profile);
    const AskingFixture fixture(profile);
    const Json report = opened(fixture);
    CHECK(*report.find("chip")->if_string() == expected.chip);
    CHECK(number(report, "max_width") == expected.width);
    CHECK(number(report, "max_height") == expected.width);
    CHECK(flag(report, "clamps_width_slices") == expected.clamps);
    CHECK(text(report, "int8_form") == expected.int8_form);
    CHECK(text(report, "int4_form") == "palette");
    CHECK(text(report, "parameter_route") == "inputs");
    CHECK(flag(report, "has_concat"));
    CHECK(flag(report, "reshapes_width") == (profile != "m3")); // 4.4
    CHECK(flag(report, "concats_width") == (profile != "m3"));
    CHECK(flag(report, "slices_width"));
    CHECK(flag(report, "computed_convolution") == (profile != "m3")); // a reshape as above
    CHECK(flag(report, "has_rsqrt"));
    CHECK(flag(report, "broadcasts_both"));
    CHECK(flag(report, "fp32_ports"));
    CHECK(flag(report, "int8_ports"));
    CHECK_FALSE(flag(report, "native_causal_attention"));
    CHECK_FALSE(answer_of(report, "products_above_32767"));
    CHECK(fixture.emulator.count("compiles") <= ane::probe_compilations);
    CHECK(fixture.emulator.count("live_models") == 0); // the device is gone
  }
}

TEST_CASE("a quirk is found, and kernels live with it") {
  const auto check = [](const char* option, const char* value, const auto& verify) {
    AskingFixture fixture;
    fixture.emulator.set(option, value);
    const auto device = fixture.open();
    const Json report = report_of(*device);
    INFO(device->report());
    verify(report);
    check_product(*device, option);
  };
  check("lut", "1", [](const Json& r) { CHECK(flag(r, "table_activations")); });
  check("narrow_sum", "1", [](const Json& r) { CHECK(flag(r, "narrow_reduce_sum")); });
  check("narrow_squares", "1", [](const Json& r) { CHECK(flag(r, "narrow_l2_norm")); });
  check("narrow_squares", "0", [](const Json& r) { CHECK_FALSE(flag(r, "narrow_l2_norm")); });
  check("narrow_sum", "0", [](const Json& r) { CHECK_FALSE(flag(r, "narrow_reduce_sum")); });
  check("reject_broadcast_of_both", "1",
        [](const Json& r) { CHECK_FALSE(flag(r, "broadcasts_both")); });
  check("slice_clamp", "1", [](const Json& r) { CHECK(flag(r, "clamps_width_slices")); });
  check("reject_concat", "1", [](const Json& r) { CHECK_FALSE(flag(r, "has_concat")); });
  check("reject_width_reshape", "1", [](const Json& r) {
    CHECK_FALSE(flag(r, "reshapes_width"));
    CHECK(flag(r, "concats_width"));
    CHECK(flag(r, "slices_width"));
  });
  check("reject_width_concat", "1", [](const Json& r) {
    CHECK(flag(r, "has_concat"));
    CHECK_FALSE(flag(r, "concats_width"));
  });
  check("reject_width_slice", "1", [](const Json& r) { CHECK_FALSE(flag(r, "slices_width")); });
  check("sdpa_mask", "1", [](const Json& r) { CHECK(flag(r, "native_causal_attention")); });
  check("affine_constexpr", "0", [](const Json& r) { CHECK_FALSE(answer_of(r, "int8_affine")); });
  check("weight_param_ignored", "1", [](const Json& r) {
    CHECK_FALSE(flag(r, "parameter_convolution"));
    CHECK_FALSE(flag(r, "computed_convolution"));
  });
  check("overflow_rule", "0", [](const Json& r) { CHECK(answer_of(r, "products_above_32767")); });
  check("four_lane", "1", [](const Json& r) { CHECK(text(r, "parameter_route") == "inputs"); });
  check("no_multi_input", "1", [](const Json& r) {
    CHECK_FALSE(answer_of(r, "multi_input"));
    CHECK(text(r, "parameter_route") == "packed");
  });
  check("reject_const_matmul", "1",
        [](const Json& r) { CHECK_FALSE(answer_of(r, "constant_matmul")); });
}

TEST_CASE("answers are kept for the next time") {
  AskingFixture fixture;
  const Json first = opened(fixture);
  const int64_t compiles = fixture.emulator.count("compiles");
  CHECK(compiles > 10);
  const Json second = opened(fixture);
  CHECK(fixture.emulator.count("compiles") == compiles);
  CHECK(*second.find("probes_from_cache")->if_boolean());
  CHECK(*first.find("probes") == *second.find("probes"));
  CHECK(*first.find("rules") == *second.find("rules"));

  SUBCASE("another chip has answers of its own") {
    fixture.emulator.set("profile", "m1");
    CHECK_FALSE(*opened(fixture).find("probes_from_cache")->if_boolean());
  }
  SUBCASE("a damaged file is ignored") {
    const std::string path = cache_file(fixture), good = read_file(path);
    for (const std::string& bad :
         {std::string("{"), std::string(), good.substr(0, good.size() / 2),
          std::string(good).replace(good.find("0.1.0"), 5, "0.0.9"),
          std::string(good).replace(good.find("\"max_width\": 65536"), 18,
                                    "\"max_width\": \"wide\""),
          std::string(good).replace(good.find("\"inputs\""), 8, "\"inputz\"")}) {
      write_file_atomically(path, as_bytes(bad));
      const Json again = opened(fixture);
      CHECK_FALSE(*again.find("probes_from_cache")->if_boolean());
      CHECK(read_file(path).size() > good.size() / 2); // written again
    }
  }
  SUBCASE("a folder that cannot be written is a warning") {
    DeviceOptions options = fixture.options();
    write_file_atomically(fixture.temporary.path() + "/file", as_bytes("x"));
    options.ane.cache_directory = fixture.temporary.path() + "/file/below";
    const auto device = fixture.open(options);
    CHECK(report_of(*device).find("warning")->if_string()->find("answers are not kept") == 0);
    check_product(*device, "no cache");
  }
}

TEST_CASE("questions that fail get the safe answer, and are asked again next time") {
  AskingFixture fixture;
  fixture.emulator.set("fail_evaluate", "6"); // concat
  const Json report = opened(fixture);
  CHECK_FALSE(flag(report, "has_concat"));
  CHECK_FALSE(*probe_of(report, "concat").find("conclusive")->if_boolean());
  CHECK_FALSE(*opened(fixture).find("probes_from_cache")->if_boolean());
  CHECK(flag(opened(fixture), "has_concat"));
}

TEST_CASE("one rejected compilation is not believed") {
  AskingFixture fixture;
  fixture.emulator.set("fail_compile", "2"); // parameter_matmul
  CHECK(text(opened(fixture), "parameter_route") == "inputs");
}

TEST_CASE("an engine that computes nothing is unavailable") {
  AskingFixture fixture;
  fixture.emulator.set("zero_evaluate", "1+");
  try {
    fixture.open();
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(error.status() == Status::unavailable);
    CHECK(error.message().find("wrong value") != std::string::npos);
  }
}

TEST_CASE("options that make no sense are refused") {
  const AskingFixture fixture;
  const auto status_with = [&](const auto& change) {
    DeviceOptions options = fixture.options();
    change(options);
    try {
      fixture.open(options);
    } catch (const Error& error) {
      return error.status();
    }
    return Status::ok;
  };
  CHECK(status_with([](auto& o) { o.ane.compile_budget = -1; }) == Status::out_of_range);
  CHECK(status_with([](auto& o) { o.ane.qos = 64; }) == Status::out_of_range);
  CHECK(status_with([](auto& o) { o.ane.qos = -1; }) == Status::out_of_range);
  CHECK(status_with([](auto& o) { o.ane.audit_every = -1; }) == Status::out_of_range);
  CHECK(status_with([](auto& o) { o.ane.audit_tolerance = -0.1; }) == Status::out_of_range);
  CHECK(status_with([](auto& o) { o.ane.placement[1] = static_cast<PlacementPolicy>(3); }) ==
        Status::invalid_argument);
  CHECK(status_with([](auto& o) { o.ane.audit_action = static_cast<AuditAction>(2); }) ==
        Status::invalid_argument);
  CHECK(status_with([](auto& o) { o.threads = -1; }) == Status::invalid_argument);
  CHECK(status_with([](auto& o) { o.ane.framework_path = "/nowhere/framework"; }) ==
        Status::unavailable);
  DeviceOptions with_engine = fixture.options();
  try {
    open_device("cpu", with_engine);
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(error.status() == Status::unsupported_option);
  }
}
