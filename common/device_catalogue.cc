#include "common/device_catalogue.h"

#include <set>

#include "common/check.h"
#include "common/config_yaml.h"
#include "common/units.h"

namespace headroom {

// deploy/devices.yaml, from the build.
extern const char kBuiltInDevices[];

namespace {

constexpr size_t kDevicesMax = 1000;

}  // namespace

void CatalogueDevice::Declare(ConfigFields& fields) {
  fields.Text("title", &title, "name for people");
  fields.Choice("kind", &kind, {"cpu", "cuda"}, "backend that runs on it");
  fields.Bytes("memory", &memory, 0, 64 * kTiB,
               "total that the driver reports; 0: given with the name, as in cpu:24GiB");
  fields.Bytes("context_floor", &context_floor, 0, kTiB, "driver and context of one process");
  fields.Bytes("libraries", &libraries, 0, kTiB, "workspaces and code that libraries keep");
  fields.Bytes("parallel_libraries", &parallel_libraries, 0, kTiB, "the same for what tensor parallelism adds");
  fields.Integer("capability", &capability, 80, 999, "CUDA only: compute capability, 90 for 9.0");
  fields.Integer("multiprocessors", &multiprocessors, 1, 1024, "CUDA only: multiprocessors");
  fields.Text("source", &source, "where the figures come from");
}

DeviceCatalogue::DeviceCatalogue() {
  const absl::Status added = Add(kBuiltInDevices, "devices.yaml");
  HEADROOM_CHECK(added.ok()) << added;
}

absl::Status DeviceCatalogue::Add(const std::string& yaml, const std::string& file) {
  try {
    HEADROOM_ASSIGN_OR_RETURN(const YAML::Node root, OneYamlDocument(yaml, file));
    if (!root.IsMap()) return absl::InvalidArgumentError(file + ":1: the file must be a mapping of device names");
    std::set<std::string> seen;
    for (const auto& entry : root) {
      const std::string where = YamlPosition(file, entry.first.Mark());
      CatalogueDevice device;
      if (entry.first.IsScalar()) device.name = entry.first.Scalar();
      if (device.name.empty() || device.name.find(':') != std::string::npos) {
        return absl::InvalidArgumentError(where + ": a device needs a name without ':'");
      }
      if (!seen.insert(device.name).second) {
        return absl::InvalidArgumentError(where + ": device '" + device.name + "' stands twice");
      }
      ConfigFields fields;
      device.Declare(fields);
      HEADROOM_RETURN_IF_ERROR(ApplyMapping(entry.second, file, device.name, fields));
      std::erase_if(devices_, [&](const CatalogueDevice& known) { return known.name == device.name; });
      if (devices_.size() == kDevicesMax)
        return absl::InvalidArgumentError(absl::StrCat(where, ": more than ", kDevicesMax, " devices"));
      devices_.push_back(std::move(device));
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(YamlPosition(file, error.mark) + ": not YAML: " + error.msg);
  }
  return absl::OkStatus();
}

absl::Status DeviceCatalogue::AddFile(const std::string& path) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string yaml, ReadYamlFile(path));
  return Add(yaml, path);
}

absl::StatusOr<CatalogueDevice> DeviceCatalogue::Find(const std::string& name) const {
  const size_t colon = name.find(':');
  std::string names;
  for (const CatalogueDevice& device : devices_) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", device.name, device.memory == 0 ? ":SIZE" : "");
    if (device.name != name.substr(0, colon)) continue;
    CatalogueDevice found = device;
    if ((colon == std::string::npos) != (device.memory > 0)) {
      return absl::InvalidArgumentError("device " + name + ": " +
                                        (device.memory > 0 ? "its memory is known: leave out what follows the colon"
                                                           : "needs a size, as in " + device.name + ":24GiB"));
    }
    if (colon == std::string::npos) return found;
    const auto bytes = ParseBytes(name.substr(colon + 1));
    if (!bytes.ok()) return absl::InvalidArgumentError("device " + name + ": " + std::string(bytes.status().message()));
    if (*bytes < kMiB || *bytes > 64 * kTiB) {
      return absl::InvalidArgumentError("device " + name + ": not between 1 MiB and 64 TiB");
    }
    found.memory = *bytes;
    found.name = name;
    return found;
  }
  return absl::InvalidArgumentError("device " + name + ": not known; there are " + names);
}

}  // namespace headroom
