#pragma once

#include "base/json.h"
#include "capi/handle.h"
#include "io/dataset/example_dataset.h"
#include "io/dataset/text_dataset.h"

#include <memory>
#include <optional>

struct anet_examples : anet::capi::Handle<anet::capi::HandleKind::examples> {
  explicit anet_examples(anet::io::TextDataset made) : data(std::move(made)), has_files(true) {}
  explicit anet_examples(std::shared_ptr<const anet::io::ExampleStore> store) {
    data.examples = std::move(store);
  }

  anet::io::TextDataset data;
  bool has_files = false; // else report and files are empty
};

namespace anet::capi {

Json examples_report(const anet_examples& examples);
Json describe_example(const io::ExampleStore& examples, int64_t index,
                      const io::Tokenizer& tokenizer);
Json rows_report(const io::ExampleDataset& rows);

} // namespace anet::capi
