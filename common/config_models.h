// What holds between the models of a configuration. Internal to the configuration code of common/.
#pragma once

#include "common/config.h"

namespace headroom {

// Names, aliases and paths of `model` and `models`, and that only one of the two is given.
absl::Status CheckModels(const ClusterConfig& config);

}  // namespace headroom
