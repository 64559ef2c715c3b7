// Where the programs of a session ran: the library's reports of its kernels.
#pragma once

#include "handles.h"
#include "json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

// Where a program of a session ran, and what it did.
struct KernelPlace {
  std::string label;  // "block_forward"
  std::string where;  // "ane", "cpu", "ane+cpu"
  std::string reason; // for the host's part
  uint64_t runs = 0;
  uint64_t evaluations = 0;
  uint64_t retries = 0;
  uint64_t fallbacks = 0;
  uint64_t engine_flops = 0;
  uint64_t host_flops = 0;
  uint64_t audits = 0;
  double audit_error = 0; // the largest, relative to the tensor's largest value
  double engine_seconds = 0;
  double host_seconds = 0;
  double copy_seconds = 0;
};

std::vector<KernelPlace> kernel_places(const Session& session);

// The same programs in the same places, as far as failures are concerned too.
bool same_places(const std::vector<KernelPlace>& left, const std::vector<KernelPlace>& right);

uint64_t sum_of(const std::vector<KernelPlace>& kernels, uint64_t KernelPlace::*counter);
// Of the matmul and convolution FLOPs; 0 without any.
double share_of_engine(const std::vector<KernelPlace>& kernels);

Json kernel_json(const KernelPlace& kernel);
Json kernels_json(const std::vector<KernelPlace>& kernels); // an array of them

} // namespace cli
