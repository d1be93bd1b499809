// A parser of untrusted bytes under test. Each *_fuzz.cc registers one target; it is built twice: as a libFuzzer
// program (tools/fuzz), and into replay_test, which repeats seeds, regressions and a few mutations in every test run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace headroom::fuzz {

struct Target {
  std::string name;
  // Parses `input` and aborts (HEADROOM_CHECK) when the parser breaks a promise. Every input is fair.
  void (*run)(const std::string& input);
  // Inputs to start from, made from files of the tree.
  std::vector<std::string> (*seeds)();
};

// Those linked into this program.
std::vector<Target>& Targets();

struct Registration {
  explicit Registration(Target target) { Targets().push_back(std::move(target)); }
};

// The file at `path`, relative to the source tree; aborts when there is none.
std::string TreeFile(const std::string& path);
// All files under `directory` whose names end with one of `endings`, by path.
std::vector<std::string> TreeFiles(const std::string& directory, const std::vector<std::string>& endings);

// What may be said to a client: `code`, UTF-8 (protobuf takes nothing else), short.
void CheckClientError(const absl::Status& status, absl::StatusCode code = absl::StatusCode::kInvalidArgument);

}  // namespace headroom::fuzz
