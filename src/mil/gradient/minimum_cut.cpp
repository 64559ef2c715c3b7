#include "mil/gradient/minimum_cut.h"

#include <algorithm>

namespace anet::mil::gradient {

void FlowNetwork::add_edge(size_t from, size_t to, int64_t capacity) {
  edges_of_[from].push_back(edges_.size());
  edges_.push_back({to, capacity});
  edges_of_[to].push_back(edges_.size());
  edges_.push_back({from, 0});
}

// Distances from the source along edges with capacity left (Dinic's algorithm).
bool FlowNetwork::find_levels(size_t source, size_t sink) {
  levels_.assign(edges_of_.size(), -1);
  levels_[source] = 0;
  std::vector<size_t> queue{source};
  for (size_t head = 0; head < queue.size(); ++head) {
    for (size_t e : edges_of_[queue[head]]) {
      if (edges_[e].residual == 0 || levels_[edges_[e].to] >= 0) continue;
      levels_[edges_[e].to] = levels_[queue[head]] + 1;
      queue.push_back(edges_[e].to);
    }
  }
  return levels_[sink] >= 0;
}

// One path from source to sink that descends the levels; 0 when none is left. An explicit stack:
// functions of thousands of ops make paths as long.
int64_t FlowNetwork::push(size_t source, size_t sink) {
  std::vector<size_t> path;
  size_t node = source;
  while (node != sink) {
    size_t& next = next_[node];
    const std::vector<size_t>& edges = edges_of_[node];
    while (next < edges.size() && (edges_[edges[next]].residual == 0 ||
                                   levels_[edges_[edges[next]].to] != levels_[node] + 1)) {
      ++next;
    }
    if (next < edges.size()) {
      path.push_back(edges[next]);
      node = edges_[edges[next]].to;
      continue;
    }
    if (path.empty()) return 0;
    node = edges_[path.back() ^ 1].to; // a dead end: step back and past it
    path.pop_back();
    ++next_[node];
  }
  int64_t amount = unlimited;
  for (size_t e : path) amount = std::min(amount, edges_[e].residual);
  for (size_t e : path) {
    edges_[e].residual -= amount;
    edges_[e ^ 1].residual += amount;
  }
  return amount;
}

std::vector<bool> FlowNetwork::sink_side(size_t source, size_t sink) {
  while (find_levels(source, sink)) {
    next_.assign(edges_of_.size(), 0);
    while (push(source, sink) > 0) {
    }
  }
  std::vector<bool> reaches(edges_of_.size(), false);
  reaches[sink] = true;
  std::vector<size_t> queue{sink};
  for (size_t head = 0; head < queue.size(); ++head) {
    for (size_t e : edges_of_[queue[head]]) {
      const size_t from = edges_[e].to; // the reverse edge leads from there to here
      if (edges_[e ^ 1].residual == 0 || reaches[from]) continue;
      reaches[from] = true;
      queue.push_back(from);
    }
  }
  return reaches;
}

} // namespace anet::mil::gradient
