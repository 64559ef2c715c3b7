// The weight blob format, "MIL storage v2" (ane-facts.md 3.3, R): a 64-byte header, then for each
// blob a 64-byte record and its payload, all 64-byte aligned, little endian.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <span>
#include <vector>

namespace anet::mil {

class BlobWriter {
public:
  BlobWriter();
  // Appends a blob and returns the offset of its metadata record, which BLOBFILE names.
  uint64_t add(DataType dtype, std::span<const std::byte> payload, int64_t elements);
  std::vector<std::byte> finish() &&;

private:
  std::vector<std::byte> bytes_;
  uint32_t count_ = 0;
};

struct BlobRecord {
  DataType dtype;
  uint64_t data_offset;
  uint64_t size;
};

// Reads and checks the record at `offset`; throws Error(invalid_blob).
BlobRecord read_blob_record(std::span<const std::byte> file, uint64_t offset);
// The payload as a literal of `type`; throws Error(invalid_blob) when dtype or size disagree.
Literal read_blob(const Bytes& file, const BlobReference& reference, const Type& type);

// Moves every constant of at least `min_bytes` without a blob reference into one blob file, which
// joins program.blobs under `path`.
void store_in_blobs(Program& program, int64_t min_bytes, const std::string& path);

} // namespace anet::mil
