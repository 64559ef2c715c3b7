// What examples hold, as JSON.
#include "capi/examples.h"

namespace anet::capi {

namespace {

Json lengths_of(const io::LengthStatistics& statistics) {
  Json result = Json::object();
  result.set("minimum", statistics.minimum).set("mean", statistics.mean);
  result.set("median", statistics.median).set("percentile95", statistics.percentile95);
  return result.set("maximum", statistics.maximum);
}

Json row_of(const io::UnusableRow& row) {
  Json result = Json::object();
  result.set("file", row.place.file).set("line", row.place.line);
  result.set("problem", io::row_problem_name(row.problem));
  return result.set("message", row.message);
}

Json place_of(const io::RowPlace& place) {
  Json result = Json::object();
  return result.set("file", place.file).set("line", place.line);
}

// Only kinds that there are.
Json kinds_of(const io::DataReport& report) {
  Json result = Json::object();
  for (size_t i = 0; i < report.kinds.size(); ++i)
    if (report.kinds[i] > 0)
      result.set(io::record_kind_name(static_cast<io::RecordKind>(i)), report.kinds[i]);
  return result;
}

Json problems_of(const io::DataReport& report) {
  Json result = Json::object();
  for (size_t i = 0; i < report.problems.size(); ++i)
    if (report.problems[i] > 0)
      result.set(io::row_problem_name(static_cast<io::RowProblem>(i)), report.problems[i]);
  return result;
}

void add_files(const anet_examples& examples, Json& result) {
  const io::DataReport& report = examples.data.report;
  Json files = Json::array();
  for (const std::string& file : examples.data.files) files.push_back(file);
  Json unusable = Json::array();
  for (const io::UnusableRow& row : report.unusable) unusable.push_back(row_of(row));
  Json special = Json::array();
  for (const io::RowPlace& place : report.special) special.push_back(place_of(place));
  result.set("files", std::move(files)).set("bytes", report.bytes).set("rows", report.rows);
  result.set("kinds", kinds_of(report)).set("unusable_rows", report.unusable_rows());
  result.set("problems", problems_of(report)).set("unusable", std::move(unusable));
  result.set("ends_with_stop", report.ends_with_stop);
  result.set("spells_special", report.spells_special).set("first_special", std::move(special));
  result.set("round_trips", report.round_trips);
  result.set("round_trip_failures", report.round_trip_failures);
}

} // namespace

Json examples_report(const anet_examples& examples) {
  const io::ExampleStatistics statistics = io::example_statistics(*examples.data.examples);
  Json result = Json::object();
  if (examples.has_files) add_files(examples, result);
  result.set("examples", statistics.examples).set("tokens", statistics.tokens);
  result.set("supervised_tokens", statistics.supervised_tokens);
  result.set("lengths", lengths_of(statistics.lengths));
  result.set("supervised", lengths_of(statistics.supervised));
  result.set("duplicates", statistics.duplicates);
  return result.set("fingerprint", examples.data.examples->fingerprint());
}

// Token files may hold any byte, and strings of C end at a NUL.
static std::string without_nul(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\0')
      result += "\xef\xbf\xbd"; // U+FFFD
    else
      result += c;
  }
  return result;
}

Json describe_example(const io::ExampleStore& examples, int64_t index,
                      const io::Tokenizer& tokenizer) {
  Json result = Json::array();
  for (const io::MaskRun& run : io::mask_runs(examples, index, tokenizer)) {
    Json entry = Json::object();
    entry.set("text", without_nul(run.text)).set("supervised", run.supervised);
    result.push_back(entry.set("tokens", run.tokens));
  }
  return result;
}

Json rows_report(const io::ExampleDataset& rows) {
  const io::RowReport& report = rows.report();
  Json result = Json::object();
  result.set("rows", report.rows).set("pieces", report.pieces);
  result.set("density", report.density(rows.sequence_length()));
  result.set("truncated", report.truncated).set("skipped", report.skipped);
  result.set("split", report.split).set("nothing_to_learn", report.nothing_to_learn);
  result.set("lost_supervised", report.lost_supervised);
  result.set("supervised_tokens", report.supervised_tokens);
  Json parts = Json::array();
  for (const int64_t count : report.rows_by_parts) parts.push_back(count);
  return result.set("rows_by_parts", std::move(parts));
}

} // namespace anet::capi
