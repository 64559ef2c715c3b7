#include "eval.h"
#include "json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace cli {
namespace {

std::vector<anet_document_loss> score(const Session& session, const Corpus& data,
                                      uint64_t max_rows) {
  // A row of these layouts is one document.
  const uint64_t rows = anet_dataset_window_count(data.rows.get());
  std::vector<anet_document_loss> losses(
      static_cast<size_t>(max_rows == 0 ? rows : std::min(max_rows, rows)));
  size_t count = 0;
  call(anet_session_score, session.get(), data.rows.get(), max_rows, losses.data(), losses.size(),
       &count);
  losses.resize(count);
  return losses;
}

struct ExampleRows {
  uint64_t example = 0;
  uint64_t length = 0;
  uint64_t rows = 0; // that hold a part of it, one after another
};

// Which rows hold which example, by the rules of anet_rows_options: pieces of sequence_length + 1
// tokens that share one, and those that would teach nothing are left out.
std::vector<ExampleRows> find_rows(const Corpus& data, anet_long_examples long_examples) {
  const auto row_length = static_cast<size_t>(anet_dataset_sequence_length(data.rows.get()));
  std::vector<ExampleRows> result;
  std::vector<int32_t> ids(row_length + 1);
  std::vector<uint8_t> mask(ids.size());
  for (uint64_t i = 0; i < anet_examples_count(data.examples.get()); ++i) {
    size_t length = 0;
    call(anet_examples_read, data.examples.get(), i, nullptr, nullptr, size_t{0}, &length);
    if (length > ids.size()) ids.resize(length), mask.resize(length);
    call(anet_examples_read, data.examples.get(), i, ids.data(), mask.data(), ids.size(), &length);
    ExampleRows found{i, length, 0};
    const bool is_long = length > row_length + 1;
    for (size_t begin = 0; begin + 1 < length; begin += row_length) {
      const size_t end = std::min(begin + row_length + 1, length);
      const bool teaches = std::any_of(mask.data() + begin + 1, mask.data() + end,
                                       [](uint8_t value) { return value != 0; });
      if (is_long && long_examples == ANET_LONG_SKIP) break;
      if (teaches) ++found.rows;
      if (long_examples != ANET_LONG_SPLIT) break;
    }
    result.push_back(found);
  }
  return result;
}

struct Sum {
  double loss = 0;
  uint64_t tokens = 0;
  void add(const anet_document_loss& part) {
    loss += part.loss_sum;
    tokens += part.tokens;
  }
  double mean() const { return tokens == 0 ? 0.0 : loss / static_cast<double>(tokens); }
};

void print_line(const char* key, uint64_t index, uint64_t length, const Sum& sum) {
  const Json object = json_object();
  json_set_count(object, key, index);
  if (length > 0) json_set_count(object, "length", length);
  json_set_count(object, "tokens", sum.tokens);
  if (sum.tokens > 0) {
    json_set(object, "loss", sum.mean());
    json_set(object, "perplexity", std::exp(sum.mean()));
  }
  std::printf("%s\n", json_text(object.get()).c_str());
}

Sum print_windows(const std::vector<anet_document_loss>& losses) {
  Sum total;
  for (const anet_document_loss& loss : losses) {
    Sum window;
    window.add(loss);
    total.add(loss);
    print_line("window", loss.row, 0, window);
  }
  return total;
}

Sum print_rows(const Corpus& data, const std::vector<anet_document_loss>& losses, uint64_t max_rows,
               anet_long_examples long_examples) {
  Sum total;
  uint64_t row = 0;
  auto next = losses.begin();
  for (const ExampleRows& example : find_rows(data, long_examples)) {
    if (max_rows > 0 && row >= max_rows) break;
    Sum sum;
    row += example.rows;
    for (; next != losses.end() && next->row < row; ++next) sum.add(*next), total.add(*next);
    print_line("example", example.example, example.length, sum);
  }
  if (next != losses.end())
    throw Failure(ANET_E_INTERNAL,
                  "rows and examples do not agree at row " + std::to_string(next->row));
  return total;
}

} // namespace

void print_examples(const Session& session, const Corpus& data, uint64_t max_rows,
                    anet_long_examples long_examples) {
  const std::vector<anet_document_loss> losses = score(session, data, max_rows);
  const Sum total =
      data.examples ? print_rows(data, losses, max_rows, long_examples) : print_windows(losses);
  std::fprintf(stderr, "loss %.4f, perplexity %.4f, %llu tokens\n", total.mean(),
               std::exp(total.mean()), static_cast<unsigned long long>(total.tokens));
}

} // namespace cli
