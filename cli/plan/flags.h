// What a plan is made of on a command line: the flags that `headroom plan` and `headroom explain plan` share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/plan/plans.h"
#include "common/flags.h"

namespace headroom::cli {

struct PlanFlags {
  PlanOptions options;  // the caller sets options.model after parsing
  std::string config_path;
  std::vector<std::string> overrides;
  std::optional<int64_t> full_length_seqs;

  // Binds the flags to this object.
  void Declare(Flags& flags);
  // After parsing. Every error is one of the arguments.
  absl::StatusOr<std::vector<Plans>> Make();
  absl::StatusOr<Plans> MakeOne();
};

}  // namespace headroom::cli
