// Functions one after the other, as one.
#pragma once

#include "mil/program.h"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace anet::mil {

struct ChainLink {
  const Function* function = nullptr;
  // What its ports are called in the chain; those left out keep their names.
  std::map<std::string, std::string> ports = {};
};

// Links meet by the names of ports: an input reads what a link before it returns under its name,
// and inputs of one name are one. Returns what each link does, but what a later one reads only
// where `returned` names it. Throws invalid_program when two links return the same name, or types
// of one name differ.
Function chain(std::span<const ChainLink> links, std::span<const std::string> returned = {});

} // namespace anet::mil
