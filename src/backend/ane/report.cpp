#include "backend/ane/report.h"

#include "backend/ane/probe_cache.h"
#include "base/version.h"

namespace anet::backend::ane {

namespace {

Json engine_json(const EngineInfo& info) {
  Json json = Json::object();
  json.set("chip", info.architecture)
      .set("sub_type", info.sub_type)
      .set("product", info.product)
      .set("board", info.board)
      .set("cores", info.cores)
      .set("engines", info.engines)
      .set("os_build", info.os_build)
      .set("virtual_machine", info.virtual_machine)
      .set("framework_path", info.framework_path);
  return json;
}

Json slots_json(const SlotCounts& counts) {
  Json json = Json::object();
  json.set("compilations", counts.compilations)
      .set("budget", counts.budget)
      .set("programs", counts.programs)
      .set("loaded", counts.loaded)
      .set("shared", counts.shared)
      .set("cache_hits", counts.cache_hits)
      .set("unloads", counts.unloads)
      .set("reloads", counts.reloads);
  return json;
}

} // namespace

Json make_report(const Environment& environment, const Capabilities& capabilities) {
  const Probed& probed = environment.probed();
  Json json = engine_json(environment.engine()->info());
  json.set("device", capabilities.name)
      .set("description", capabilities.description)
      .set("library_version", library_version)
      .set("probes_from_cache", probed.from_cache)
      .set("warning", probed.warning)
      .set("probes", to_json(probed.answers))
      .set("rules", to_json(probed.rules))
      .set("slots", slots_json(environment.slots()->counts()));
  Json kernels = Json::array();
  for (const auto& record : environment.records()) {
    const Placement placement = record->get();
    Json entry = Json::object();
    entry.set("label", record->label())
        .set("where", placement.where)
        .set("reason", placement.reason);
    kernels.push_back(std::move(entry));
  }
  json.set("kernels", std::move(kernels));
  return json;
}

} // namespace anet::backend::ane
