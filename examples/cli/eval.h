// Losses of single examples: `eval --per-example`.
#pragma once

#include "corpus.h"
#include "handles.h"

#include <cstdint>

namespace cli {

// One JSON object a line on the standard output: of each example of padded rows in file order, or
// of each window. The mean goes to the standard error. `max_rows`: 0 for all.
void print_examples(const Session& session, const Corpus& data, uint64_t max_rows,
                    anet_long_examples long_examples);

} // namespace cli
