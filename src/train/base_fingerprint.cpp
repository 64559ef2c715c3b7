#include "train/base_fingerprint.h"

#include "base/hash.h"
#include "base/status.h"

#include <vector>

namespace anet::train {

namespace {

uint64_t checksum(const model::Model& model, const model::Parameter& parameter) {
  if (!parameter.is_compressed()) return xxh64(std::as_bytes(model.values(parameter)));
  const mil::CompressedWeight& weight = model.compressed(parameter);
  Xxh64 hash(static_cast<uint64_t>(weight.compression));
  hash.update(weight.codes.view());
  hash.update(weight.scales.view());
  return hash.digest();
}

void check_config(const JsonView& saved, const Json& config) {
  for (const JsonMember& member : saved.members()) {
    const Json* seen = config.find(member.key);
    if (seen == nullptr || !(*seen == member.value))
      fail(Status::invalid_argument, "expected the base that the adapter was trained on, with ",
           member.key, " ", member.value.to_string(), ", seen ",
           seen == nullptr ? "none" : seen->to_string());
  }
}

} // namespace

Json base_fingerprint(const model::Model& base, ThreadPool& pool) {
  const auto parameters = base.parameters().all();
  std::vector<uint64_t> sums(parameters.size());
  pool.run(static_cast<int64_t>(sums.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      sums[static_cast<size_t>(i)] = checksum(base, parameters[static_cast<size_t>(i)]);
  });
  Json::Object weights;
  for (size_t i = 0; i < sums.size(); ++i)
    weights.push_back({parameters[i].name, Json(hex64(sums[i]))});
  Json fingerprint = Json::object();
  fingerprint.set("config", model::write_config(base.config()));
  fingerprint.set("weights", Json(std::move(weights)));
  return fingerprint;
}

void check_base(const JsonView& saved, const model::Model& base, ThreadPool& pool) {
  const Json seen = base_fingerprint(base, pool);
  check_config(saved.at("config"), *seen.find("config"));
  const Json& weights = *seen.find("weights");
  for (const JsonMember& member : saved.at("weights").members()) {
    const Json* sum = weights.find(member.key);
    if (sum == nullptr || !(*sum == member.value))
      fail(Status::invalid_argument, "expected the base that the adapter was trained on, seen ",
           sum == nullptr ? "none of its " : "other weights in '", member.key, "'");
  }
}

} // namespace anet::train
