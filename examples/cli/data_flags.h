// How data is read and laid out in rows: the same options for train, eval and data check, kept in
// checkpoints as one property.
#pragma once

#include "args.h"
#include "handles.h"

#include <map>
#include <string>
#include <vector>

namespace cli {

enum class Layout { windows, padded, packed, bucketed };
const char* layout_name(Layout layout);

class DataFlags {
public:
  // The options; what they are given is kept here.
  std::vector<Option> options();

  // The value, or "" when the option was not given.
  const std::string& operator[](const std::string& key) const;
  bool is_on(const std::string& key) const { return (*this)[key] == "true"; }

  void set(const std::string& key, const std::string& value); // "" takes it back
  // A JSON object of what was given. What the command line gave stays when another run's is merged.
  std::string to_json() const;
  void merge(const std::string& json);

  // The given layout; else packed where `path` holds JSONL, windows where it holds one text or one
  // file of token ids.
  Layout layout(const std::string& path) const;
  anet_long_examples long_examples(const std::string& path) const;
  // 2^n divides the sequence length; what was given, else at most 3.
  int32_t length_buckets(int32_t sequence_length) const;
  // Borrows from this object.
  anet_examples_options examples_options() const;

  // The file of a folder's part ("train", "valid", "test"), the file itself, or "" when the part
  // has none or several files.
  static std::string single_file(const std::string& path, const std::string& part);

private:
  std::map<std::string, std::string> given_;
};

} // namespace cli
