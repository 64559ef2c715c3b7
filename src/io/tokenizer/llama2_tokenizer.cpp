#include "io/tokenizer/llama2_tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "io/tokenizer/decoder.h"
#include "io/tokenizer/limits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <unordered_map>

namespace anet::io {

using namespace tokenization;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

namespace {

constexpr std::array<std::string_view, 3> special_names = {"<unk>", "<s>", "</s>"};
constexpr int32_t min_vocab_size = Llama2Tokenizer::first_byte + 256;

class Reader {
public:
  Reader(std::span<const std::byte> data, std::string_view source) : data_(data), source_(source) {}

  template <typename T>
  T take(std::string_view what) {
    T value;
    std::memcpy(&value, take_bytes(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view take_bytes(size_t size, std::string_view what) {
    if (size > data_.size())
      fail(Status::invalid_config, source_, ": expected ", size, " bytes of ", what, " at byte ",
           at_, ", seen the end of the file after ", data_.size());
    const auto* begin = reinterpret_cast<const char*>(data_.data());
    data_ = data_.subspan(size);
    at_ += size;
    return {begin, size};
  }
  size_t left() const { return data_.size(); }

private:
  std::span<const std::byte> data_;
  std::string_view source_;
  size_t at_ = 0;
};

// Higher scores merge earlier; equal ones are equally early.
std::vector<uint32_t> ranks_of(std::span<const float> scores) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  std::vector<uint32_t> ranks(scores.size());
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

} // namespace

Llama2Tokenizer::Llama2Tokenizer(std::span<const std::byte> data, std::string_view source,
                                 int32_t vocab_size) {
  if (vocab_size < min_vocab_size || vocab_size > max_vocab_size)
    fail(Status::invalid_config, "expected a model with ", min_vocab_size, " to ", max_vocab_size,
         " tokens for the tokenizer ", source, ", seen ", vocab_size);
  read_pieces(data, source, vocab_size);
  build_model();
  Sha256 hash;
  hash.update(as_bytes(concat("tokenizer.bin, version 1, vocabulary ", vocab_size)));
  hash.update(data);
  fingerprint_ = hash.hex_digest();
}

void Llama2Tokenizer::read_pieces(std::span<const std::byte> data, std::string_view source,
                                  int32_t vocab_size) {
  Reader reader(data, source);
  const auto max_length = reader.take<uint32_t>("the longest piece's length");
  for (int32_t id = 0; id < vocab_size; ++id) {
    const auto score = reader.take<float>("a score");
    if (!std::isfinite(score))
      fail(Status::invalid_config, source, ": expected a finite score for token ", id, ", seen ",
           score);
    const auto length = reader.take<int32_t>("a length");
    if (length < 0 || static_cast<uint32_t>(length) > max_length)
      fail(Status::invalid_config, source, ": expected a length from 0 to ", max_length,
           " for token ", id, ", seen ", length);
    pieces_.emplace_back(reader.take_bytes(static_cast<size_t>(length), "a piece"));
    scores_.push_back(score);
  }
  if (reader.left() != 0)
    fail(Status::invalid_config, source, ": expected ", vocab_size,
         " tokens, as the model has, seen ", reader.left(), " more bytes");
}

void Llama2Tokenizer::build_model() {
  std::vector<PieceTable::Entry> entries;
  std::unordered_map<std::string_view, int32_t> ids; // of equal pieces the first counts
  for (size_t id = 0; id < pieces_.size(); ++id) {
    const bool is_new = ids.emplace(pieces_[id], static_cast<int32_t>(id)).second;
    if (is_new && !pieces_[id].empty()) entries.push_back({pieces_[id], static_cast<int32_t>(id)});
  }
  // A pair merges if its text is a piece.
  const std::vector<uint32_t> ranks = ranks_of(scores_);
  std::vector<MergeTable::Entry> merges;
  bool respects_spaces = true;
  for (const PieceTable::Entry& whole : entries) {
    const std::string_view text = whole.key;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(text.substr(cut));
      if (right == ids.end()) continue;
      merges.push_back(
          {left->second, right->second, {ranks[static_cast<size_t>(whole.id)], whole.id}});
      const size_t word = text.find_first_not_of(' ');
      if (word != std::string_view::npos && text.find(' ', word) != std::string_view::npos)
        respects_spaces = false;
    }
  }
  BpeOptions options;
  options.raw_bytes = true;
  options.byte_fallback.emplace();
  std::iota(options.byte_fallback->begin(), options.byte_fallback->end(), first_byte);
  if (respects_spaces && ids.contains(" ")) options.boundary = " ";
  model_ = std::make_unique<Bpe>(entries, merges, std::move(options), vocab_size());
  for (size_t id = 0; id < pieces_.size(); ++id) {
    const std::optional<char> byte = fallback_byte(pieces_[id]);
    bytes_.push_back(byte ? std::string(1, *byte) : pieces_[id]);
  }
}

bool Llama2Tokenizer::is_special(int32_t id) const {
  check_id(id);
  return id < first_byte;
}

std::optional<int32_t> Llama2Tokenizer::special_id(std::string_view name) const {
  const auto found = std::find(special_names.begin(), special_names.end(), name);
  if (found == special_names.end()) return std::nullopt;
  return static_cast<int32_t>(found - special_names.begin());
}

std::string Llama2Tokenizer::special_name(int32_t id) const {
  const auto index = static_cast<size_t>(id);
  return std::string(id >= 0 && index < special_names.size() ? special_names[index] : "");
}

std::string Llama2Tokenizer::token_bytes(int32_t id) const {
  if (is_special(id)) return {};
  return bytes_[static_cast<size_t>(id)];
}

void Llama2Tokenizer::encode_text(std::string_view text, bool parse_special,
                                  std::vector<int32_t>& ids, std::vector<TextRange>* ranges) const {
  if (text.size() >= UINT32_MAX / 2)
    fail(Status::out_of_range, "expected a text of less than 2 GiB, seen ", text.size(), " bytes");
  BpeScratch scratch;
  const auto encode_part = [&](size_t begin, size_t end) {
    if (begin == end) return;
    AlignedText part;
    part.text.reserve(end - begin + 1);
    part.text += ' ';
    part.text += text.substr(begin, end - begin);
    if (ranges != nullptr) {
      const auto offset = static_cast<uint32_t>(begin);
      part.sources.push_back({offset, offset});
      for (uint32_t at = offset; at < end; ++at) part.sources.push_back({at, at + 1});
    }
    const Piece piece = part.piece();
    // A continuation byte is no part of the space before it.
    const bool joined = (static_cast<unsigned char>(text[begin]) & 0xC0) != 0x80;
    if (!joined) model_->encode(piece.part(0, 1), scratch, {ids, ranges});
    model_->encode(piece.part(joined ? 0 : 1, piece.text.size()), scratch, {ids, ranges});
  };
  size_t done = 0;
  for (size_t at = text.find('<'); parse_special && at != std::string_view::npos;
       at = text.find('<', std::max(at + 1, done))) {
    for (size_t id = 0; id < special_names.size(); ++id) {
      if (!text.substr(at).starts_with(special_names[id])) continue;
      encode_part(done, at);
      done = at + special_names[id].size();
      ids.push_back(static_cast<int32_t>(id));
      if (ranges != nullptr)
        ranges->push_back({static_cast<int64_t>(at), static_cast<int64_t>(done)});
    }
  }
  encode_part(done, text.size());
}

// Leaves out the space that encoding put before the text: that of the first token and of one behind
// <s>.
class Llama2Tokenizer::State final : public DecodeState {
public:
  explicit State(const Llama2Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  void push(int32_t id, std::string& bytes) override {
    if (tokenizer_->is_special(id)) {
      at_begin_ = at_begin_ || id == bos;
      return;
    }
    std::string_view text = tokenizer_->bytes_[static_cast<size_t>(id)];
    // A byte token is that byte even if it is a space.
    const bool is_byte = id < min_vocab_size;
    if (at_begin_ && !is_byte && text.starts_with(' ')) text.remove_prefix(1);
    bytes += text;
    at_begin_ = false;
  }
  void finish(std::string&) override {}

private:
  const Llama2Tokenizer* tokenizer_;
  bool at_begin_ = true;
};

std::unique_ptr<DecodeState> Llama2Tokenizer::start_decoding() const {
  return std::make_unique<State>(*this);
}

} // namespace anet::io
