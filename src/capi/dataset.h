#pragma once

#include "capi/handle.h"
#include "io/dataset/dataset.h"

#include <memory>

struct anet_dataset : anet::capi::Handle<anet::capi::HandleKind::dataset> {
  anet_dataset(std::shared_ptr<const anet::io::TokenSource> source, anet::io::TokenRange part,
               int64_t sequence_length, anet::io::DatasetOrder windows_order)
      : tokens(std::move(source)), range(part), order(windows_order),
        windows(tokens, range, sequence_length, order) {}

  std::shared_ptr<const anet::io::TokenSource> tokens;
  anet::io::TokenRange range; // of the tokens that this dataset, perhaps a split's part, has
  anet::io::DatasetOrder order;
  anet::io::WindowDataset windows;
};
