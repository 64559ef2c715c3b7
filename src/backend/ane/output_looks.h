// Which results of a program without peaks the host has to look at for infinities.
#pragma once

#include "mil/program.h"

#include <vector>

namespace anet::backend::ane {

// By output of a source function. Left out are results that have a largest value, which is small,
// and those whose infinities come out of another output: of one with the same elements, or of one
// that weights' products with whole positions and sums lead to. What is multiplied with 0 there is
// 0 whatever its size, and an infinity would have to meet its opposite in every channel.
std::vector<bool> outputs_to_look_at(const mil::Function& function);

} // namespace anet::backend::ane
