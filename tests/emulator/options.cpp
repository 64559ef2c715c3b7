#include "options.h"

#include "ane_emulator.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace emulator {

namespace {

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<double> parse_probability(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < 0 || value > 1) return std::nullopt;
  return value;
}

template <size_t count>
bool contains(const std::array<const char*, count>& list, std::string_view key) {
  for (const char* entry : list) {
    if (key == entry) return true;
  }
  return false;
}

constexpr std::array<const char*, 28> flags = {"lut",
                                               "four_lane",
                                               "slice_clamp",
                                               "flush_denormals",
                                               "nan_rule",
                                               "overflow_rule",
                                               "narrow_sum",
                                               "narrow_squares",
                                               "conv_bias",
                                               "sdpa_mask",
                                               "affine_constexpr",
                                               "build_info",
                                               "reject_concat",
                                               "reject_const_matmul",
                                               "reject_matmul_reshape_tail",
                                               "reject_reduce_mean",
                                               "reject_broadcast_of_both",
                                               "reject_width_reshape",
                                               "reject_width_concat",
                                               "reject_width_slice",
                                               "reject_square_activation",
                                               "small_surface_zeros",
                                               "weight_param_ignored",
                                               "no_multi_input",
                                               "size_binding",
                                               "weight_reload",
                                               "tile_poison",
                                               "garbage_padding"};

// Non-negative integers.
constexpr std::array<const char*, 6> numbers = {"compile_cap",        "load_cap", "latency_us",
                                                "compile_latency_us", "hang_ms",  "transient_load"};

constexpr std::array<const char*, 9> fault_keys = {
    "fail_compile",  "fail_load",     "fail_evaluate",  "fail_surface", "corrupt_evaluate",
    "zero_evaluate", "hang_evaluate", "raise_evaluate", "raise_unload"};

constexpr std::array<const char*, 15> counter_names = {
    "compiles",           "loads",           "unloads",       "evaluations",     "cache_hits",
    "live_models",        "live_surfaces",   "live_requests", "failed_compiles", "failed_loads",
    "failed_evaluations", "failed_surfaces", "bytes_in",      "bytes_out",       "loaded"};

// These describe what exists now, so a reset does not touch them.
constexpr std::array<const char*, 4> live_counters = {"live_models", "live_surfaces",
                                                      "live_requests", "loaded"};

} // namespace

std::optional<Fault> Fault::parse(std::string_view text) {
  Fault fault;
  if (text.starts_with("random:")) {
    text.remove_prefix(7);
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto probability = parse_probability(text.substr(0, colon));
    const auto seed = parse_integer(text.substr(colon + 1));
    if (!probability || !seed) return std::nullopt;
    fault.kind_ = Kind::random;
    fault.probability_ = *probability;
    fault.generator_.seed(static_cast<uint64_t>(*seed));
    return fault;
  }
  fault.kind_ = Kind::once;
  if (text.starts_with("every:")) {
    fault.kind_ = Kind::every;
    text.remove_prefix(6);
  } else if (text.ends_with("+")) {
    fault.kind_ = Kind::from;
    text.remove_suffix(1);
  }
  const auto count = parse_integer(text);
  if (!count || *count < 0) return std::nullopt;
  if (*count == 0) {
    if (fault.kind_ != Kind::once) return std::nullopt;
    fault.kind_ = Kind::never;
  }
  fault.count_ = *count;
  return fault;
}

bool Fault::strikes() {
  ++calls_;
  switch (kind_) {
  case Kind::never:
    return false;
  case Kind::once:
    return calls_ == count_;
  case Kind::from:
    return calls_ >= count_;
  case Kind::every:
    return calls_ % count_ == 0;
  case Kind::random:
    return static_cast<double>(generator_() >> 11) * 0x1p-53 < probability_;
  }
  return false;
}

Control& Control::instance() {
  static Control control;
  return control;
}

Control::Control() {
  for (const char* name : counter_names) counters_[name] = 0;
  const char* environment = std::getenv("ANE_EMULATOR");
  std::string_view rest = environment == nullptr ? "" : environment;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view entry = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    const size_t equals = entry.find('=');
    const bool valid = equals != std::string_view::npos &&
                       set_locked(entry.substr(0, equals), entry.substr(equals + 1));
    if (!valid) {
      // Nobody is there to report to, and a typing mistake must not pass for a run without faults.
      std::fprintf(stderr, "ANE_EMULATOR: \"%.*s\" is not a key and a value of the emulator\n",
                   static_cast<int>(entry.size()), entry.data());
      std::abort();
    }
  }
  initial_ = settings_;
}

bool Control::set_locked(std::string_view key, std::string_view value) {
  if (key == "profile") {
    const auto profile = find_profile(value);
    if (profile) settings_.profile = *profile;
    return profile.has_value();
  }
  if (key == "cache_dir") return settings_.cache_directory = value, true;
  if (key == "log") return settings_.log_file = value, true;
  if (key == "trace") return settings_.trace_directory = value, true;
  if (key == "missing_class") return settings_.missing_class = value, true;
  if (key == "missing_selector") return settings_.missing_selector = value, true;
  if (key == "wrong_encoding") return settings_.wrong_encoding = value, true;
  if (contains(fault_keys, key)) {
    const auto fault = Fault::parse(value);
    if (fault) settings_.faults[std::string(key)] = *fault;
    return fault.has_value();
  }
  const bool is_flag = contains(flags, key);
  if (!is_flag && !contains(numbers, key)) return false;
  const auto number = parse_integer(value);
  if (!number || *number < 0 || (is_flag && *number > 1)) return false;
  settings_.values[std::string(key)] = *number;
  return true;
}

bool Control::set(std::string_view key, std::string_view value) {
  const std::lock_guard lock(mutex_);
  // The classes exist by now (README.md).
  if (key == "missing_class" || key == "missing_selector" || key == "wrong_encoding") return false;
  return set_locked(key, value);
}

void Control::reset() {
  const std::lock_guard lock(mutex_);
  settings_ = initial_;
  refusal_.clear();
  for (auto& [name, value] : counters_) {
    if (!contains(live_counters, name)) value = 0;
  }
}

int64_t Control::count(std::string_view counter) const {
  const std::lock_guard lock(mutex_);
  const auto found = counters_.find(counter);
  return found == counters_.end() ? -1 : found->second;
}

void Control::add(const char* counter, int64_t amount) {
  const std::lock_guard lock(mutex_);
  counters_.find(std::string_view(counter))->second += amount;
}

Profile Control::profile() const {
  const std::lock_guard lock(mutex_);
  return settings_.profile;
}

bool Control::flag(const char* key, bool otherwise) const {
  const auto found = settings_.values.find(key);
  return found == settings_.values.end() ? otherwise : found->second != 0;
}

Numerics Control::numerics() const {
  const std::lock_guard lock(mutex_);
  const Numerics usual;
  return {.lut = flag("lut", usual.lut),
          .four_lane = flag("four_lane", usual.four_lane),
          .slice_clamp = flag("slice_clamp", settings_.profile.slice_clamp),
          .flush_denormals = flag("flush_denormals", settings_.profile.flush_denormals),
          .nan_rule = flag("nan_rule", usual.nan_rule),
          .overflow_rule = flag("overflow_rule", usual.overflow_rule),
          .narrow_sum = flag("narrow_sum", usual.narrow_sum),
          .narrow_squares = flag("narrow_squares", usual.narrow_squares)};
}

Rules Control::rules() const {
  const std::lock_guard lock(mutex_);
  const Rules usual;
  const Profile& chip = settings_.profile;
  return {
      .conv_bias = flag("conv_bias", usual.conv_bias),
      .sdpa_mask = flag("sdpa_mask", usual.sdpa_mask),
      .affine_constexpr = flag("affine_constexpr", usual.affine_constexpr),
      .build_info = flag("build_info", usual.build_info),
      .reject_concat = flag("reject_concat", usual.reject_concat),
      .reject_const_matmul = flag("reject_const_matmul", chip.reject_const_matmul),
      .reject_matmul_reshape_tail =
          flag("reject_matmul_reshape_tail", usual.reject_matmul_reshape_tail),
      .reject_reduce_mean = flag("reject_reduce_mean", usual.reject_reduce_mean),
      .reject_broadcast_of_both = flag("reject_broadcast_of_both", usual.reject_broadcast_of_both),
      .reject_width_reshape = flag("reject_width_reshape", chip.reject_width_moves),
      .reject_width_concat = flag("reject_width_concat", chip.reject_width_moves),
      .reject_width_slice = flag("reject_width_slice", usual.reject_width_slice),
      .reject_square_activation = flag("reject_square_activation", usual.reject_square_activation),
      .small_surface_zeros = flag("small_surface_zeros", usual.small_surface_zeros),
      .weight_param_ignored = flag("weight_param_ignored", usual.weight_param_ignored),
      .no_multi_input = flag("no_multi_input", usual.no_multi_input),
      .size_binding = flag("size_binding", usual.size_binding),
      .weight_reload = flag("weight_reload", usual.weight_reload),
      .tile_poison = flag("tile_poison", chip.tile_poison),
      .garbage_padding = flag("garbage_padding", usual.garbage_padding)};
}

int64_t Control::number(const char* key) const {
  const std::lock_guard lock(mutex_);
  const auto found = settings_.values.find(key);
  return found == settings_.values.end() ? 0 : found->second;
}

std::string Control::text(const char* key) const {
  const std::lock_guard lock(mutex_);
  const std::string_view name = key;
  if (name == "cache_dir") return settings_.cache_directory;
  if (name == "trace") return settings_.trace_directory;
  if (name == "missing_class") return settings_.missing_class;
  if (name == "missing_selector") return settings_.missing_selector;
  if (name == "wrong_encoding") return settings_.wrong_encoding;
  return {};
}

bool Control::strikes(const char* fault) {
  const std::lock_guard lock(mutex_);
  const auto found = settings_.faults.find(fault);
  if (found != settings_.faults.end()) return found->second.strikes();
  return false;
}

bool Control::take(const char* key) {
  const std::lock_guard lock(mutex_);
  const auto found = settings_.values.find(key);
  if (found == settings_.values.end() || found->second == 0) return false;
  --found->second;
  return true;
}

void Control::record_refusal(const std::string& text) {
  const std::lock_guard lock(mutex_);
  refusal_ = text;
  if (settings_.log_file.empty()) return;
  std::FILE* log =
      settings_.log_file == "stderr" ? stderr : std::fopen(settings_.log_file.c_str(), "a");
  if (log == nullptr) return;
  std::fprintf(log, "ane emulator: %s\n", text.c_str());
  if (log != stderr) std::fclose(log);
}

std::string Control::last_refusal() const {
  const std::lock_guard lock(mutex_);
  return refusal_;
}

} // namespace emulator
