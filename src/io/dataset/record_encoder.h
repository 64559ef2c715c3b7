// One row of text data as tokens.
#pragma once

#include "io/dataset/special_finder.h"
#include "io/dataset/text_dataset.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

struct EncodedRow {
  RecordKind kind = RecordKind::text;
  MaskedTokens tokens; // meaningless with a problem
  std::optional<RowProblem> problem;
  std::string message; // of the problem
  bool spells_special = false;
  std::optional<bool> round_trip; // when it was asked for and the row is a conversation
};

// Whether a text's beginning and end are those of its document.
struct TextPiece {
  bool begins = true;
  bool ends = true;
};

// Immutable; usable from any thread. The tokenizer and the options outlive it.
class RecordEncoder {
public:
  // Throws invalid_argument for options that the tokenizer cannot honour.
  RecordEncoder(const Tokenizer& tokenizer, const TextDatasetOptions& options);

  // A line of JSON, without its end. What is wrong with it is in the result.
  EncodedRow encode_json(std::string_view line, bool check_round_trip) const;
  EncodedRow encode_text(std::string_view text, TextPiece piece) const;
  EncodedRow encode_ids(std::vector<int32_t> ids) const;
  // The last supervised token is a stop token.
  bool ends_with_stop(const MaskedTokens& tokens) const;

private:
  struct Conversation {
    const Json* messages;
    const Json* tools;
  };

  void encode_record(const Json& record, EncodedRow& row, RowProblem& stage) const;
  MaskedTokens encode_ids(const JsonView& record, RowProblem& stage) const;
  MaskedTokens encode_plain(std::string_view text, TextPiece piece) const;
  MaskedTokens encode_completion(const JsonView& record, EncodedRow& row, RowProblem& stage) const;
  MaskedTokens join(std::string_view prompt, std::string_view completion) const;
  MaskedTokens encode_turns(const Json& prompt, const Json& completion, const Json& tools,
                            EncodedRow& row) const;
  MaskedTokens encode_chat(const Json& messages, const Json& tools, EncodedRow& row) const;
  const ChatTemplate& chat_template() const;
  void check_learnable(const MaskedTokens& tokens) const;

  const Tokenizer& tokenizer_;
  const TextDatasetOptions& options_;
  SpecialFinder specials_;
  std::vector<int32_t> stop_ids_;
  bool add_bos_;
  bool add_eos_;
};

} // namespace anet::io
