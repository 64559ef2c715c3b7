// Options, faults and counters: what a test can set and ask.
#pragma once

#include "profile.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace emulator {

// When a fault strikes, counted in calls from the moment it was set.
class Fault {
public:
  // "n": the nth call; "n+": all from the nth; "every:n"; "random:p:seed"; "0": never.
  static std::optional<Fault> parse(std::string_view text);
  bool strikes();

private:
  enum class Kind { never, once, from, every, random };
  Kind kind_ = Kind::never;
  int64_t count_ = 0;
  int64_t calls_ = 0;
  double probability_ = 0;
  std::mt19937_64 generator_;
};

struct Numerics {
  bool lut = false;             // activations by 33-knot tables (ane-facts.md 6, R)
  bool four_lane = false;       // products meet in fours that round to fp16 (6, R)
  bool slice_clamp = false;     // crops along the width overflow beyond 4094 (6, R; M1, M2)
  bool flush_denormals = false; // in the multiply-accumulate engine (6, R; M1)
  bool nan_rule = true;         // NaN reads as +Inf, and nothing produces NaN (6, R)
  bool overflow_rule = true;    // matmul and convolution: 32768 and up is infinite (6, R)
  bool narrow_sum = false;      // reduce_sum accumulates in fp16 (6, R)
  bool narrow_squares = false;  // so does reduce_l2_norm; no source says
  bool operator<=>(const Numerics&) const = default;
};

// Where sources disagree (ane-facts.md 8), or the evidence is one chip's (4.4).
struct Rules {
  bool conv_bias = false;       // accepts a bias on conv
  bool sdpa_mask = false;       // honours the mask
  bool affine_constexpr = true; // accepts constexpr_affine_dequantize
  bool build_info = false;      // insists on buildInfo
  bool reject_concat = false;
  bool reject_const_matmul = false; // M1
  bool reject_matmul_reshape_tail = false;
  bool reject_reduce_mean = false;
  bool reject_broadcast_of_both = false; // an op of operands that both broadcast; no source says
  bool reject_width_reshape = false;     // any that changes the last extent (M2 Max, M3 Ultra)
  bool reject_width_concat = false;      // along the last axis (M2 Max, M3 Ultra)
  bool reject_width_slice = false;
  bool reject_square_activation = true;
  bool small_surface_zeros = false;  // silent zeros in place of status 0x1d
  bool weight_param_ignored = false; // conv with a runtime weight uses zeros (sky, M3 Max)
  bool no_multi_input = false;       // more than one input: the first is bound to all
  bool size_binding = false;         // binds by ascending size (imp)
  bool weight_reload = false;        // load reads the weights again (Orion)
  bool tile_poison = false;          // after a program with tile every evaluation is 0x1d (sky, M3)
  bool garbage_padding = true;       // row padding of outputs is overwritten
};

struct Settings {
  Profile profile = *find_profile("m4");
  std::map<std::string, int64_t> values; // options given explicitly: they win over the profile's
  std::map<std::string, Fault> faults;
  std::string cache_directory;
  std::string log_file;
  std::string trace_directory;
  std::string missing_class;
  std::string missing_selector;
  std::string wrong_encoding;
};

// The emulated machine's settings and counters; one per process, like the machine.
class Control {
public:
  static Control& instance();

  bool set(std::string_view key, std::string_view value);
  void reset();
  int64_t count(std::string_view counter) const; // -1 when unknown
  void add(const char* counter, int64_t amount = 1);

  Profile profile() const;
  Numerics numerics() const;
  Rules rules() const;
  int64_t number(const char* key) const; // 0 when it was not set
  std::string text(const char* key) const;
  bool strikes(const char* fault);
  bool take(const char* key); // counts a number down; whether it was above 0

  void record_refusal(const std::string& text);
  std::string last_refusal() const;

private:
  Control();
  bool set_locked(std::string_view key, std::string_view value);
  bool flag(const char* key, bool otherwise) const;

  mutable std::mutex mutex_;
  Settings settings_;
  Settings initial_;
  std::map<std::string, int64_t, std::less<>> counters_;
  std::string refusal_;
};

} // namespace emulator
