// How many threads have a core of their own.
#pragma once

namespace anet {

// The cores that the calling thread may run on, at least 1: an affinity, and on Linux a container's
// set of cores, leaves fewer than the machine has.
int available_cores();

} // namespace anet
