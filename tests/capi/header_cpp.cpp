// The header comes first and alone, and its functions have C linkage.
#include "ane_train.h"

#include <cstdint>
#include <type_traits>

static_assert(std::is_same_v<anet_status, std::int32_t>);
static_assert(std::is_standard_layout_v<anet_session_options>);
static_assert(std::is_trivially_copyable_v<anet_step_result>);

anet_status header_cpp_compiles(anet_error** error);

anet_status header_cpp_compiles(anet_error** error) {
  anet_session_options options;
  anet_struct_init(&options, sizeof options);
  options.schedule = ANET_SCHEDULE_COSINE;
  anet_memory_plan plan;
  anet_struct_init(&plan, sizeof plan);
  return anet_session_plan_memory(nullptr, nullptr, &options, &plan, error);
}
