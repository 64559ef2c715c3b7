#pragma once

#include "capi/handle.h"
#include "io/dataset/dataset.h"
#include "io/dataset/example_dataset.h"

#include <memory>
#include <optional>

namespace anet::capi {

// Where windows are cut from, for splits.
struct WindowSource {
  std::shared_ptr<const anet::io::TokenSource> tokens;
  anet::io::TokenRange range; // of the tokens that this dataset, perhaps a split's part, has
  anet::io::DatasetOrder order;
};

// Of a token file without a header, from a caller's options.token_bytes.
io::TokenFormat token_format_of(int32_t token_bytes);

} // namespace anet::capi

struct anet_dataset : anet::capi::Handle<anet::capi::HandleKind::dataset> {
  anet_dataset(anet::capi::WindowSource source, int64_t sequence_length)
      : rows(std::make_shared<const anet::io::WindowDataset>(source.tokens, source.range,
                                                             sequence_length, source.order)),
        windows(std::move(source)) {}
  explicit anet_dataset(std::shared_ptr<const anet::io::ExampleDataset> made)
      : rows(made), examples(std::move(made)) {}

  std::shared_ptr<const anet::io::Dataset> rows;
  // Which of the two it is.
  std::optional<anet::capi::WindowSource> windows;
  std::shared_ptr<const anet::io::ExampleDataset> examples;
};
