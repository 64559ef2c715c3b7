// The finders of groups, each in a file of its own. They look at an optimised function.
#pragma once

#include "backend/cpu/group.h"

#include <vector>

namespace anet::backend::cpu {

// Groups of ops of which none is taken.
using GroupFinder = std::vector<Group> (*)(const mil::Function& function,
                                           const std::vector<bool>& taken);

// The backward pass of scaled_dot_product_attention.
std::vector<Group> find_attention_groups(const mil::Function& function,
                                         const std::vector<bool>& taken);
// Attention to a cache of keys and values; fp32 and bf16.
std::vector<Group> find_cached_attention_groups(const mil::Function& function,
                                                const std::vector<bool>& taken);
// The gradient of cross-entropy with respect to logits, from their log-sum-exp.
std::vector<Group> find_cross_entropy_groups(const mil::Function& function,
                                             const std::vector<bool>& taken);
// Sums of matrix products; fp32 and bf16.
std::vector<Group> find_product_sum_groups(const mil::Function& function,
                                           const std::vector<bool>& taken);
// Products of several matrices with the same few vectors; fp32 and bf16.
std::vector<Group> find_gemv_groups(const mil::Function& function, const std::vector<bool>& taken);
// Element-wise ops and reductions over one space; fp32 and bf16.
std::vector<Group> find_pointwise_groups(const mil::Function& function,
                                         const std::vector<bool>& taken);

} // namespace anet::backend::cpu
