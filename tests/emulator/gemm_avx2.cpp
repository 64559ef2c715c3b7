// gemm_kernel.h for x86 processors with AVX2 and FMA; other targets have nothing here.
#include "gemm.h"

#if defined(__AVX2__) && defined(__FMA__)

#include "gemm_kernel.h"

namespace emulator {

void panel_product_avx2(const Gemm& gemm, int64_t n0, int64_t k0, int64_t k1, const float* panel) {
  panel_product(gemm, n0, k0, k1, panel);
}

} // namespace emulator

#endif
