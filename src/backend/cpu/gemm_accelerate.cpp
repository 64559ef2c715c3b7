#if defined(__APPLE__)

#include "backend/cpu/gemm.h"
#include "base/status.h"

#include <dlfcn.h>

namespace anet::backend::cpu {

namespace {

// cblas.h of the BLAS standard: row-major 101, no transpose 111, transpose 112.
using SgemmFunction = void (*)(int order, int transpose_a, int transpose_b, int rows, int columns,
                               int depth, float alpha, const float* a, int leading_a,
                               const float* b, int leading_b, float beta, float* c, int leading_c);

SgemmFunction load_sgemm() {
  const char* path = "/System/Library/Frameworks/Accelerate.framework/Accelerate";
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void* symbol = library != nullptr ? dlsym(library, "cblas_sgemm") : nullptr;
  if (symbol == nullptr) fail(Status::unavailable, "cannot find cblas_sgemm in ", path);
  return reinterpret_cast<SgemmFunction>(symbol);
}

} // namespace

void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const MatrixF32& a,
              const MatrixF32& b, float beta, float* c, int64_t leading_c) {
  static const SgemmFunction sgemm = load_sgemm();
  sgemm(101, a.transposed ? 112 : 111, b.transposed ? 112 : 111, static_cast<int>(rows),
        static_cast<int>(columns), static_cast<int>(depth), alpha, a.data,
        static_cast<int>(a.leading), b.data, static_cast<int>(b.leading), beta, c,
        static_cast<int>(leading_c));
}

const char* gemm_library() { return "Accelerate"; }

} // namespace anet::backend::cpu

#endif
