// Minimum cut of a flow network with integer capacities. Internal to differentiation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace anet::mil::gradient {

class FlowNetwork {
public:
  static constexpr int64_t unlimited = std::numeric_limits<int64_t>::max() / 4;

  explicit FlowNetwork(size_t nodes) : edges_of_(nodes) {}
  void add_edge(size_t from, size_t to, int64_t capacity);

  // Sends as much as possible from source to sink, then marks the nodes on the sink's side of a
  // minimum cut: of several minimum cuts the one nearest to the sink.
  std::vector<bool> sink_side(size_t source, size_t sink);

private:
  struct Edge {
    size_t to;
    int64_t residual;
  };
  bool find_levels(size_t source, size_t sink);
  int64_t push(size_t source, size_t sink);

  std::vector<Edge> edges_; // edge e and its reverse e ^ 1
  std::vector<std::vector<size_t>> edges_of_;
  std::vector<int32_t> levels_;
  std::vector<size_t> next_;
};

} // namespace anet::mil::gradient
