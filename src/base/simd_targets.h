// The instruction sets that kernels are compiled for, besides the platform's baseline. SSSE3
// machines use the baseline: they are rare, and each target costs build time. SVE waits for
// kernels that were measured on it; NEON serves those machines.
// Include before hwy/highway.h.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
