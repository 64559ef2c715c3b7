// fp32 values in the types that exports have.
#pragma once

#include "io/model_file/model_source.h"
#include "io/model_file/stored_tensor.h"

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace anet::io {

Encoding encoding_of(ExportType type);
std::string_view export_type_name(ExportType type); // "fp32", ...

// Replaces `bytes` by the values; q8_0 wants whole blocks of 32, rounded as GGUF's own library
// does. Throws out_of_range naming the tensor if a finite value has no finite fp16, as value or
// scale.
void encode(Encoding encoding, std::span<const float> values, std::string_view tensor,
            std::vector<std::byte>& bytes);

// A parameter's values piece by piece: encoded, and with the rows of queries and keys interleaved
// where `interleaved_head_dim` is not 0. `write` takes the bytes of each piece. Compressed matrices
// are expanded as they go.
using PieceWriter = std::function<void(std::span<const std::byte>)>;
void encode_parameter(const model::Model& model, const model::Parameter& parameter,
                      Encoding encoding, int64_t interleaved_head_dim, const PieceWriter& write);

} // namespace anet::io
