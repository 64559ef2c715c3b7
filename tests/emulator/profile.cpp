#include "profile.h"

#include <initializer_list>

namespace emulator {

namespace {

Profile m1() {
  Profile chip{.name = "m1",
               .generation = 1,
               .architecture = "h13g",
               .sub_type = "h13",
               .board_type = 96,
               .product_name = "macOS"};
  chip.max_width = 16384;
  chip.max_kernel_width = 13;
  chip.max_kernel_height = 29;
  chip.slice_clamp = true;
  chip.flush_denormals = true;
  chip.reject_const_matmul = true;   // 4.4: imp on M1; mad ran it on later chips
  chip.reject_batched_weight = true; // 4.4: the compiler helper dies
  chip.layer_norm_needs_both = true; // 4.4: M1 and M2
  return chip;
}

Profile m3() {
  Profile chip{.name = "m3",
               .generation = 3,
               .architecture = "h15g",
               .sub_type = "h15",
               .board_type = 192,
               .product_name = "macOS"};
  chip.max_width = 16384;
  chip.tile_poison = true; // 4.4: sky on M3 Max
  // 4.4: rust on M3 Ultra and M2 Max. Slices along the width, named beside, run on all of M1 to M3
  // (3.5).
  chip.reject_width_moves = true;
  return chip;
}

Profile m4() {
  return {.name = "m4",
          .generation = 4,
          .architecture = "h16g",
          .sub_type = "h16",
          .board_type = 256,
          .product_name = "macOS"};
}

Profile m5() {
  Profile chip{.name = "m5",
               .generation = 5,
               .architecture = "h17s",
               .sub_type = "h17",
               .board_type = 544,
               .product_name = "macOS"};
  chip.reject_small_topk = true; // 4.4
  return chip;
}

Profile a17() {
  Profile chip{.name = "a17",
               .generation = 4,
               .architecture = "h16",
               .sub_type = "h16",
               .board_type = 208,
               .product_name = "iPhone OS"};
  chip.reject_channel_matmul = true; // 4.4: slavko
  return chip;
}

} // namespace

std::optional<Profile> find_profile(std::string_view name) {
  for (const auto make : {m1, m3, m4, m5, a17}) {
    Profile profile = make();
    if (profile.name == name) return profile;
  }
  return std::nullopt;
}

} // namespace emulator
