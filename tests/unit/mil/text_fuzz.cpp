// Mutated programs: the parser returns a verified program or throws Error, nothing else.
#include "base/status.h"
#include "mil/blob.h"
#include "mil/builder.h"
#include "mil/text.h"
#include "mil/verify.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace anet;
using namespace anet::mil;

namespace {

struct Seed {
  std::string text;
  BlobFiles blobs;
};

Seed make_seed() {
  Builder builder;
  const ValueId x = builder.input("x", {DataType::fp16, {1, 8, 1, 32}, {}});
  const ValueId w = builder.constant(Literal::fill({DataType::fp16, {4, 8, 1, 1}, {}}, 0.25), "w");
  const ValueId y = builder.rsqrt(builder.linear(x, w), 1e-5);
  const ValueId s = builder.slice_by_size(y, {0, 1, 0, 4}, {1, 2, 1, 8});
  const ValueId c = builder.concat({s, builder.mul(s, 2.0)}, 1);
  const ValueId t = builder.transpose(builder.reshape(c, {1, 4, 8}), {0, 2, 1});
  builder.output(builder.softmax(builder.matmul(t, t, false, true), -1), "p");
  builder.output(builder.reduce("reduce_sum", t, {1, -1}, false), "sum");
  for (ValueId part : builder.add_multiple(
           "split", std::vector<Builder::Input>{{"x", t},
                                                {"split_sizes", builder.constant(Literal::int32s(
                                                                    std::vector<int64_t>{3, 5}))},
                                                {"axis", builder.constant(Literal::int32(1))}})) {
    builder.output(part);
  }
  Program program = std::move(builder).finish_program();
  store_in_blobs(program, 32, "w.bin");
  return {print(program), program.blobs};
}

class Mutator {
public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  std::string mutate(std::string text) {
    const size_t count = 1 + below(4);
    for (size_t i = 0; i < count && !text.empty(); ++i) mutate_once(text);
    return text;
  }

private:
  size_t below(size_t limit) { return random_() % limit; }

  void mutate_once(std::string& text) {
    static const std::vector<std::string> words{"[",
                                                "]",
                                                "(",
                                                ")",
                                                "<",
                                                ">",
                                                "{",
                                                "}",
                                                ",",
                                                ";",
                                                "=",
                                                "->",
                                                "\"",
                                                "\\",
                                                "-",
                                                "0",
                                                "-1",
                                                "9223372036854775807",
                                                "99999999999999999999",
                                                "1e999",
                                                "0x",
                                                "nan",
                                                "inf",
                                                "tensor",
                                                "tensor<fp16, [",
                                                "BLOBFILE(",
                                                "dict<string, string>",
                                                "string(",
                                                "true",
                                                "\n",
                                                "int32(1)",
                                                "tensor<int32, [4]>([0, 0, 0, 0])",
                                                "x",
                                                "const()",
                                                "uint64(0)"};
    const size_t at = below(text.size());
    const size_t length = std::min(text.size() - at, size_t{1} + below(12));
    switch (below(6)) {
    case 0:
      text[at] = static_cast<char>(below(256));
      break;
    case 1:
      text.erase(at, length);
      break;
    case 2:
      text.insert(at, words[below(words.size())]);
      break;
    case 3:
      text.insert(below(text.size()), text.substr(at, below(60) + 1));
      break;
    case 4:
      text.resize(at);
      break;
    default:
      text.replace(at, length, words[below(words.size())]);
      break;
    }
  }

  std::mt19937_64 random_;
};

} // namespace

TEST_CASE("mutated programs parse or throw Error") {
  const Seed seed = make_seed();
  REQUIRE_NOTHROW(parse(seed.text, seed.blobs));
  int parsed = 0;
  for (uint64_t i = 0; i < 6000; ++i) {
    const std::string text = Mutator(i).mutate(seed.text);
    CAPTURE(i);
    try {
      const Program program = parse(text, seed.blobs);
      ++parsed;
      CHECK(parse(print(program), seed.blobs) == program);
    } catch (const Error& error) {
      const bool known =
          error.status() == Status::invalid_program || error.status() == Status::invalid_blob;
      CHECK(known);
    }
  }
  CHECK(parsed > 100); // some mutations keep a program valid
  CHECK(parsed < 3000);
}

TEST_CASE("mutated blob files are read inside their bounds or refused") {
  const Seed seed = make_seed();
  const std::span<const std::byte> file = seed.blobs.at("w.bin").view();
  std::mt19937_64 random(11);
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::byte> bytes(file.begin(), file.end());
    for (int j = 0; j < 3; ++j) {
      bytes[random() % std::min<size_t>(bytes.size(), 128)] = static_cast<std::byte>(random());
    }
    if (i % 3 == 0) bytes.resize(random() % bytes.size());
    BlobFiles blobs{{"w.bin", Bytes(std::move(bytes))}};
    try {
      const Program program = parse(seed.text, std::move(blobs));
      CHECK_NOTHROW(print(program));
    } catch (const Error& error) {
      CHECK(error.status() == Status::invalid_blob);
    }
  }
}

TEST_CASE("texts that are built to hurt are refused quickly") {
  const std::string head = "program(1.3){func main<ios18>(fp16 x){";
  std::string nested =
      head + "fp16 y = const()[val = tensor<fp16, [1]>(" + std::string(1000000, '[');
  CHECK_THROWS_AS(parse(nested), Error);
  CHECK_THROWS_AS(parse(head + "fp16 y = relu(x = (" + std::string(1000000, '(')), Error);
  std::string blobs = head + "string y = const()[val = string(";
  for (int i = 0; i < 100000; ++i) blobs += "BLOBFILE(path = string(";
  CHECK_THROWS_AS(parse(blobs), Error);
  std::string arguments = head + "fp16 y = relu(";
  for (int i = 0; i < 100000; ++i) arguments += "x = x, ";
  CHECK_THROWS_AS(parse(arguments), Error);
  std::string attributes = head + "fp16 y = relu(x = x)[";
  for (int i = 0; i < 100000; ++i) attributes += "a" + std::to_string(i) + " = fp16(1), ";
  CHECK_THROWS_AS(parse(attributes), Error);
  CHECK_THROWS_AS(parse("program(1.3)" + std::string(1 << 22, '\n')), Error);
  CHECK_THROWS_AS(parse(std::string(1 << 22, '1')), Error);
  // A large program that is well-formed stays linear: every op adds two constants.
  std::string chain = head;
  std::string previous = "x";
  for (int i = 0; i < 20000; ++i) {
    const std::string name = "v" + std::to_string(i);
    chain += "fp16 " + name + " = rsqrt(x = " + previous + ", epsilon = fp16(0.5));\n";
    previous = name;
  }
  CHECK(parse(chain + "} -> (" + previous + ");}").main().ops.size() == 40000);
}
