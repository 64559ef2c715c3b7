// Files of token ids: bare little-endian uint16 or uint32, or behind the 1024-byte header of llm.c
// (256 int32: magic, version, count). Malformed content is invalid_data.
#pragma once

#include "base/file.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace anet::io {

// A sequence of token ids that training windows are cut from. Immutable, usable from any thread.
class TokenSource {
public:
  virtual ~TokenSource() = default;
  virtual int64_t size() const = 0; // tokens
  // Tokens [begin, begin + ids.size()); out_of_range past the end, invalid_data for an id that is
  // not in the vocabulary (its position and value are in the message).
  virtual void read(int64_t begin, std::span<int32_t> ids) const = 0;
};

class TokenArray final : public TokenSource {
public:
  // Checks every id.
  TokenArray(std::vector<int32_t> ids, int32_t vocab_size);
  int64_t size() const override { return static_cast<int64_t>(ids_.size()); }
  void read(int64_t begin, std::span<int32_t> ids) const override;

private:
  std::vector<int32_t> ids_;
};

enum class TokenFormat {
  // llm.c's header if there is one; else uint16 if the vocabulary fits, else uint32.
  automatic,
  uint16,
  uint32,
  llmc_uint16, // magic 20240520, version 1
  llmc_uint32, // magic 20240801, version 7
};

const char* token_format_name(TokenFormat format);

class TokenFile final : public TokenSource {
public:
  // Maps the file. `vocab_size` bounds the ids, which are checked as they are read.
  TokenFile(const std::string& path, int32_t vocab_size,
            TokenFormat format = TokenFormat::automatic, FileSystem& files = FileSystem::real());

  TokenFormat format() const { return format_; } // never automatic
  int64_t size() const override { return size_; }
  void read(int64_t begin, std::span<int32_t> ids) const override;
  // Reads all of it; throws at the first bad id.
  void check() const;

private:
  std::string path_;
  MappedFile file_;
  std::span<const std::byte> data_; // behind the header
  TokenFormat format_;
  int32_t vocab_size_;
  int64_t size_ = 0;
};

// Replaces the file in one step at commit(); without it nothing changes. `count`, needed by llm.c's
// header, is known beforehand or the caller asks for a bare format.
class TokenFileWriter {
public:
  // automatic: uint16 if the vocabulary fits, else uint32. `count` is the number of tokens that
  // will be written: required for the llmc formats, checked when given (>= 0) for the bare ones.
  TokenFileWriter(const std::string& path, int32_t vocab_size,
                  TokenFormat format = TokenFormat::automatic, int64_t count = -1,
                  FileSystem& files = FileSystem::real());
  void write(std::span<const int32_t> ids); // out_of_range for an id not in the vocabulary
  void commit();
  int64_t written() const { return written_; }

private:
  void flush();

  AtomicFile file_;
  std::vector<std::byte> buffer_;
  TokenFormat format_;
  int32_t vocab_size_;
  int64_t count_;
  int64_t written_ = 0;
};

} // namespace anet::io
