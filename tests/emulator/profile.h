// What differs from chip to chip (ane-facts.md 1.11, 3.4, 4.3 to 4.5, 6).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace emulator {

struct Profile {
  std::string name;
  int generation = 4; // of the M series that has this engine: A17 is between M3 and M4
  // _ANEDeviceInfo
  std::string architecture; // "h16g"
  std::string sub_type;     // "h16"
  int64_t board_type = 256;
  std::string product_name;
  // Limits
  int64_t max_width = 65536; // and height
  int64_t max_channels = 65536;
  int64_t max_batch = 65536;
  int64_t max_kernel_width = 16;
  int64_t max_kernel_height = 32;
  // Quirks
  bool slice_clamp = false;
  bool flush_denormals = false;
  bool reject_const_matmul = false;
  bool reject_channel_matmul = false;
  bool reject_batched_weight = false;
  bool layer_norm_needs_both = false;
  bool reject_small_topk = false;
  bool tile_poison = false;
  bool reject_width_moves = false; // reshape and concat that change the width
};

std::optional<Profile> find_profile(std::string_view name);

} // namespace emulator
