// A model that writes: what the ways of generating share.
#pragma once

#include "adapter_flags.h"
#include "data_flags.h"
#include "device_flags.h"
#include "handles.h"
#include "text_source.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

struct GenerateConfig {
  std::string model;
  std::vector<AdapterSpec> adapters;
  std::string prompt;
  bool has_prompt = false;
  std::string prompts; // a file
  std::string system;
  std::string template_variables;
  TextFlags text;
  DeviceFlags device;
  int64_t max_tokens = 200;
  int64_t top_k = 0;
  uint64_t seed = 0;
  int64_t batch_size = 8;
  int64_t context_length = 0;
  double temperature = 0.8;
  double top_p = 0.95;
  double min_p = 0;
  double repetition_penalty = 0;
  anet_precision precision = ANET_PRECISION_DEFAULT;
  bool best = false;
  bool chat = false;
  bool parse_special = false;
  bool statistics = false;
};

struct Writer {
  Device device;
  Model model;
  TextSource text;
  LoadedAdapters adapters;
  Generator generator;
};
Writer open_writer(const GenerateConfig& config);

// `stop_ids` are borrowed.
anet_sampling_options sampling_options(const GenerateConfig& config,
                                       const std::vector<int32_t>& stop_ids);

// Of `generate --prompt`: the text as it is, or a user's message when `chat` is set.
std::vector<int32_t> encode_given(const Writer& writer, const GenerateConfig& config,
                                  const std::string& prompt);

// To the standard output at once; on a terminal without control characters. False when nobody
// reads it any more.
bool write_out(std::string_view text);

// While it lives, Ctrl-C ends the generation instead of the process.
class InterruptGuard {
public:
  explicit InterruptGuard(anet_generator* generator);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

const char* finish_name(anet_finish_reason reason); // "stop"

int run_chat(const GenerateConfig& config);    // the lines of the standard input, turn by turn
int run_prompts(const GenerateConfig& config); // the prompts of a file

} // namespace cli
