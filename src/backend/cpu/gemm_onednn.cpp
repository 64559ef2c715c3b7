#if !defined(__APPLE__)

#include "backend/cpu/gemm.h"
#include "base/status.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

namespace anet::backend::cpu {

namespace {

// oneDNN would start an OpenMP team of its own. The setting belongs to the calling thread, so it
// is put back: the thread may be the application's.
class SingleThreadedOpenMp {
public:
  SingleThreadedOpenMp() : threads_(omp_get_max_threads()) {
    if (threads_ != 1) omp_set_num_threads(1);
  }
  ~SingleThreadedOpenMp() {
    if (threads_ != 1) omp_set_num_threads(threads_);
  }
  SingleThreadedOpenMp(const SingleThreadedOpenMp&) = delete;
  SingleThreadedOpenMp& operator=(const SingleThreadedOpenMp&) = delete;

private:
  int threads_;
};

} // namespace

void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const MatrixF32& a,
              const MatrixF32& b, float beta, float* c, int64_t leading_c) {
  const SingleThreadedOpenMp scope;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', rows, columns, depth, alpha,
                 a.data, a.leading, b.data, b.leading, beta, c, leading_c);
  if (status != dnnl_success) {
    fail(Status::internal, "oneDNN refused a ", rows, "x", columns, "x", depth,
         " product with status ", static_cast<int>(status));
  }
}

const char* gemm_library() { return "oneDNN"; }

} // namespace anet::backend::cpu

#endif
