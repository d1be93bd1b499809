// Devices that a plan can be made for without having them: memory and floors by name. The built-in ones stand in
// deploy/devices.yaml, which is compiled in; a file of the same form adds to them or replaces them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/config_fields.h"
#include "common/status.h"

namespace headroom {

struct CatalogueDevice {
  std::string name;
  std::string title;
  std::string kind = "cuda";
  int64_t memory = 0;              // bytes that the driver reports as total
  int64_t context_floor = 0;       // driver and context of one process
  int64_t libraries = 0;           // workspaces and code that libraries keep
  int64_t parallel_libraries = 0;  // the same for what tensor parallelism adds
  // Of a card: what the scratch of its kernels follows from.
  int64_t capability = 90;        // 90 for 9.0
  int64_t multiprocessors = 192;  // more than any card has that is served
  std::string source;

  void Declare(ConfigFields& fields);
};

class DeviceCatalogue {
 public:
  // The built-in devices.
  DeviceCatalogue();

  // Adds the devices of a YAML text (`file` stands in error positions): a mapping of names to the fields above. A name
  // that exists is replaced.
  absl::Status Add(const std::string& yaml, const std::string& file);
  absl::Status AddFile(const std::string& path);

  const std::vector<CatalogueDevice>& devices() const { return devices_; }
  // A name of the catalogue; or "cpu:24GiB" (a CPU with so much memory) or "cuda:24GiB" (a card of which only the
  // memory is known, with the floors of "cuda" in the catalogue). INVALID_ARGUMENT lists the names.
  absl::StatusOr<CatalogueDevice> Find(const std::string& name) const;

 private:
  std::vector<CatalogueDevice> devices_;
};

}  // namespace headroom
