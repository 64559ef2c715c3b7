// Training data from outside: the first byte chooses the kind of file and some options, the rest is
// the file. What is read is laid out in rows. Anything but anet::Error, and a row or a report that
// cannot be, is a finding.
#include "io/dataset/text_dataset.h"

#include "base/status.h"
#include "io/tokenizer/byte_tokenizer.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

using namespace anet;
using namespace anet::io;

namespace {

// One file, whatever it is called.
class MemoryFile final : public FileSystem {
public:
  explicit MemoryFile(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  int open(const char*, int, mode_t) override {
    offset_ = 0;
    return 3;
  }
  int close(int) override { return 0; }
  ssize_t read(int, void* data, size_t size) override {
    const size_t count = std::min(size, bytes_.size() - offset_);
    if (count > 0) std::memcpy(data, bytes_.data() + offset_, count);
    offset_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(int, const void*, size_t) override { return refuse(); }
  int fsync(int) override { return refuse(); }
  int info(int, FileInfo& result) override {
    result = {FileKind::regular, static_cast<int64_t>(bytes_.size())};
    return 0;
  }
  int info(const char*, FileInfo& result) override { return info(3, result); }
  void* map(int, size_t) override { return const_cast<uint8_t*>(bytes_.data()); }
  void unmap(void*, size_t) override {}
  int rename(const char*, const char*) override { return refuse(); }
  int exchange(const char*, const char*) override { return refuse(); }
  int unlink(const char*) override { return refuse(); }
  int make_directory(const char*, mode_t) override { return refuse(); }
  int remove_directory(const char*) override { return refuse(); }
  int list(const char*, std::vector<std::string>&) override { return refuse(); }

private:
  static int refuse() {
    errno = EROFS;
    return -1;
  }

  std::span<const uint8_t> bytes_;
  size_t offset_ = 0;
};

std::shared_ptr<const ChatTemplate> chat_template() {
  static const auto chat = std::make_shared<const ChatTemplate>(
      "{% for m in messages %}{{ m.role }}: {{ m.content }}"
      "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
      "{% if add_generation_prompt %}assistant: {% endif %}",
      "<|bos|>", "<|eos|>");
  return chat;
}

TextDatasetOptions options_of(uint8_t choice) {
  TextDatasetOptions options;
  options.format = static_cast<DataFormat>(1 + choice % 3);
  if ((choice & 4) != 0) options.chat_template = chat_template();
  if ((choice & 8) != 0) options.document_separator = "--";
  if ((choice & 16) != 0) options.supervision = Supervision::everything;
  options.parse_special = (choice & 32) != 0;
  options.strict = (choice & 64) != 0;
  options.max_line_bytes = 1000;
  options.max_document_bytes = 64;
  options.max_reported = 3;
  options.round_trips = 2;
  return options;
}

void expect(bool condition) {
  if (!condition) std::abort();
}

void check_report(const TextDataset& data) {
  const DataReport& report = data.report;
  int64_t unusable = 0;
  for (const int64_t count : report.problems) unusable += count;
  expect(report.examples == data.examples->count() && report.examples > 0);
  expect(report.rows == report.examples + unusable);
  expect(report.unusable.size() <= 3);
  for (int64_t i = 0; i < data.examples->count(); ++i) {
    const auto tokens = data.examples->example(i);
    expect(tokens.size() >= 2 && !tokens[0].supervised());
    expect(std::any_of(tokens.begin(), tokens.end(),
                       [](StoredToken token) { return token.supervised(); }));
  }
  mask_runs(*data.examples, 0, ByteTokenizer());
  expect(example_statistics(*data.examples).tokens == data.examples->tokens());
}

void check_rows(const TextDataset& data, uint8_t choice) {
  const RowOptions options{.sequence_length = 16,
                           .layout = static_cast<RowLayout>(choice / 3 % 3),
                           .long_examples = LongExamples::split,
                           .batch_size = 2,
                           .length_buckets = 2};
  const ExampleDataset rows(data.examples, options, {.shuffle = (choice & 1) != 0, .seed = choice});
  const int64_t group = options.layout == RowLayout::bucketed ? 2 : 1;
  int64_t targets = 0;
  for (int64_t first = 0; first < rows.count(); first += group) {
    const Batch batch = rows.batch(first, group);
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      expect(batch.inputs[i] >= 0 && batch.inputs[i] < ByteTokenizer::unpadded_vocab_size);
      expect(batch.positions[i] >= 0 && batch.positions[i] < 16);
      targets += batch.targets[i] != ignored_target ? 1 : 0;
    }
  }
  expect(targets == data.examples->supervised_tokens());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 16384) return 0;
  MemoryFile file({data + 1, size - 1});
  const std::vector<std::string> paths = {"data"};
  try {
    const TextDataset opened = open_text_dataset(paths, ByteTokenizer(), options_of(data[0]), file);
    check_report(opened);
    check_rows(opened, data[0]);
  } catch (const Error&) {
  }
  return 0;
}
