#if defined(__APPLE__)

#include "backend/cpu/gemm.h"
#include "backend/cpu/int8_product.h"
#include "backend/cpu/library_product.h"
#include "base/status.h"

#include <cstdint>
#include <dlfcn.h>
#include <limits>

namespace anet::backend::cpu {

namespace {

// cblas.h of the BLAS standard: row-major 101, no transpose 111, transpose 112. Accelerate's plain
// name has 32-bit sizes on every system; 64-bit ones are behind a suffix that macOS 13.3 brought.
using SgemmFunction = void (*)(int order, int transpose_a, int transpose_b, int rows, int columns,
                               int depth, float alpha, const float* a, int leading_a,
                               const float* b, int leading_b, float beta, float* c, int leading_c);

// Since macOS 15, for the calling thread: 0 several threads, 1 one. Set returns 0 for success.
using GetThreadingFunction = unsigned (*)();
using SetThreadingFunction = int (*)(unsigned threading);
constexpr unsigned single_threaded = 1;

struct Accelerate {
  SgemmFunction sgemm = nullptr;
  GetThreadingFunction get_threading = nullptr; // both or none
  SetThreadingFunction set_threading = nullptr;
};

Accelerate load_accelerate() {
  const char* path = "/System/Library/Frameworks/Accelerate.framework/Accelerate";
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    fail(Status::unavailable, "cannot open ", path, ": ", reason != nullptr ? reason : "no reason");
  }
  Accelerate result;
  result.sgemm = reinterpret_cast<SgemmFunction>(dlsym(library, "cblas_sgemm"));
  if (result.sgemm == nullptr) fail(Status::unavailable, "expected cblas_sgemm in ", path);
  const auto get = reinterpret_cast<GetThreadingFunction>(dlsym(library, "BLASGetThreading"));
  const auto set = reinterpret_cast<SetThreadingFunction>(dlsym(library, "BLASSetThreading"));
  if (get != nullptr && set != nullptr) {
    result.get_threading = get;
    result.set_threading = set;
  }
  return result;
}

// Opened at the first product. A failure is tried again, and so reported, at the next.
const Accelerate& accelerate() {
  static const Accelerate functions = load_accelerate();
  return functions;
}

// Accelerate would share a product out among threads of its own. The setting belongs to the calling
// thread, so it is put back: the thread may be the application's. macOS 14 has no such setting;
// there only the user can make one, with VECLIB_MAXIMUM_THREADS.
class SingleThreadedAccelerate {
public:
  explicit SingleThreadedAccelerate(const Accelerate& functions)
      : functions_(functions),
        before_(functions.get_threading != nullptr ? functions.get_threading() : single_threaded) {
    if (before_ != single_threaded) functions_.set_threading(single_threaded);
  }
  ~SingleThreadedAccelerate() {
    if (before_ != single_threaded) functions_.set_threading(before_);
  }
  SingleThreadedAccelerate(const SingleThreadedAccelerate&) = delete;
  SingleThreadedAccelerate& operator=(const SingleThreadedAccelerate&) = delete;

private:
  const Accelerate& functions_;
  unsigned before_;
};

int to_int(int64_t size) {
  if (size > std::numeric_limits<int>::max()) {
    fail(Status::unsupported, "expected matrix sizes below 2^31 for Accelerate, seen ", size);
  }
  return static_cast<int>(size);
}

} // namespace

void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const GemmMatrix& a,
              const GemmMatrix& b, bool accumulate, float* c, int64_t leading_c, float*) {
  const Accelerate& functions = accelerate();
  const SingleThreadedAccelerate scope(functions);
  functions.sgemm(101, a.transposed ? 112 : 111, b.transposed ? 112 : 111, to_int(rows),
                  to_int(columns), to_int(depth), alpha, static_cast<const float*>(a.data),
                  to_int(a.leading), static_cast<const float*>(b.data), to_int(b.leading),
                  accumulate ? 1.0f : 0.0f, c, to_int(leading_c));
}

bool gemm_reads(mil::DataType dtype) { return dtype == mil::DataType::fp32; }
bool gemm_has_bf16() { return false; }

int64_t gemm_scratch(int64_t, int64_t, int64_t) { return 0; }

std::unique_ptr<Int8Product> make_library_int8_product(const Int8ProductShape&, const int8_t*,
                                                       const Int8Epilogue&, Int8Exactness) {
  return nullptr;
}

std::string why_no_int8_products() {
  return "int8 products run in our own kernels: Accelerate's BLAS has none";
}

std::unique_ptr<LibraryProduct> make_library_product(const LibraryProductShape&) { return nullptr; }

std::string why_no_bf16_products() {
  return "bf16 products run in fp32: Accelerate's BLAS multiplies fp32 alone";
}

const char* gemm_library() { return "Accelerate"; }

const char* product_library() { return "Accelerate"; }

} // namespace anet::backend::cpu

#endif
