// The cluster's configuration file, its overrides, and catalogues of devices.
#include "common/check.h"
#include "common/config.h"
#include "common/device_catalogue.h"
#include "common/units.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

void Run(const std::string& input) {
  const auto config = ParseConfig(input, "file.yaml", {});
  if (config.ok()) {
    HEADROOM_CHECK(config->gateway.images_max >= 0 && config->gateway.images_max <= 4096);
    HEADROOM_CHECK(config->device.memory > 0);
  }
  static_cast<void>(ParseConfig("", "", {input}).ok());
  static const DeviceCatalogue built_in;
  DeviceCatalogue catalogue = built_in;
  if (catalogue.Add(input, "devices.yaml").ok()) {
    for (const CatalogueDevice& device : catalogue.devices()) HEADROOM_CHECK(device.memory >= 0) << device.name;
  }
  static_cast<void>(catalogue.Find(input).ok());
  const auto bytes = ParseBytes(input);
  HEADROOM_CHECK(!bytes.ok() || *bytes >= 0);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = TreeFiles("deploy", {"demo.yaml", "devices.yaml"});
  for (std::string& config : TreeFiles("deploy/compose/config", {".yaml"})) seeds.push_back(std::move(config));
  for (const char* text :
       {"gateway.images_max=3", "12 GiB", "cuda:24GiB", "a: &x [*x, {? b : c}, !t 'q', |-\n  z]\n"}) {
    seeds.emplace_back(text);
  }
  return seeds;
}

const Registration registration({"cluster_config", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
