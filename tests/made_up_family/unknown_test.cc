// The families of a test stay with it: a program without its list refuses its model, and names those that it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "common/testing/paths.h"
#include "model/reading/registry.h"
#include "model/spec.h"

namespace headroom::model {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(WithoutMadeUpFamily, ItsCardIsRefusedWithTheKnownArchitectures) {
  const std::vector<std::string> known = reading::KnownArchitectures();
  EXPECT_THAT(known, Contains("LlamaForCausalLM"));
  EXPECT_THAT(known, Not(Contains("MadeUpForCausalLM")));
  const auto spec = LoadModelSpec(SourceDir() + "/tests/made_up_family/card");
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(spec.status().message()),
              HasSubstr("config.json: architectures: [\"MadeUpForCausalLM\"] is not known (known: " +
                        absl::StrJoin(known, ", ") + ")"));
}

}  // namespace
}  // namespace headroom::model
