// What the gateway's memory holds of a model: its tokenizer and templates, no weights. Known from the files before they
// are loaded, so that a model that does not fit is not begun.
#pragma once

#include <cstdint>

#include "common/config.h"

namespace headroom::gateway {

// Ceilings, bytes. 0 for files that are not there.
struct ModelHostBytes {
  int64_t loading = 0;  // while they are read
  int64_t held = 0;     // from then on
};

// Reads the files once, and keeps nothing of them.
ModelHostBytes HostBytesOf(const ModelSection& model);

// What loading all models of the configuration takes, one after the other: for memory/host_budgets.h.
int64_t ModelsHostBytes(const ClusterConfig& config);

}  // namespace headroom::gateway
