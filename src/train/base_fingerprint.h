// What a checkpoint of an adapter remembers of its base: the configuration, and a checksum of each
// tensor, so that another base is refused by name of what differs.
#pragma once

#include "base/json.h"
#include "base/thread_pool.h"
#include "model/model.h"

namespace anet::train {

// {"config": {..}, "weights": {"model.embed_tokens.weight": "<16 digits>", ..}}
Json base_fingerprint(const model::Model& base, ThreadPool& pool);

// Throws invalid_argument for a base with another fingerprint.
void check_base(const JsonView& saved, const model::Model& base, ThreadPool& pool);

} // namespace anet::train
