// YAML mappings applied to declared fields, with positions in errors. Internal to the configuration code of common/.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <string>

#include "common/config_fields.h"
#include "common/status.h"

namespace headroom {

// "FILE:12".
std::string YamlPosition(const std::string& file, const YAML::Mark& mark);

// The only document of `yaml`; a second one is an error. Throws YAML::Exception where it is not YAML.
absl::StatusOr<YAML::Node> OneYamlDocument(const std::string& yaml, const std::string& file);

// Every key of `node` must be a declared field and stand once; errors name it as "mapping.key".
absl::Status ApplyMapping(const YAML::Node& node, const std::string& file, const std::string& mapping,
                          const ConfigFields& fields);

// Every entry of the list `node`, a mapping, is applied to the fields that `next` makes for it.
absl::Status ApplyList(const YAML::Node& node, const std::string& file, const std::string& list, size_t entries_max,
                       const std::function<ConfigFields()>& next);

// At most 1 MiB. NOT_FOUND when it cannot be opened.
absl::StatusOr<std::string> ReadYamlFile(const std::string& path);

}  // namespace headroom
