#include "common/json_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace headroom {
namespace {

TEST(JsonDepth, CountsWhatIsOpenAtOnce) {
  EXPECT_FALSE(JsonNestsDeeper("", 0));
  EXPECT_FALSE(JsonNestsDeeper("1", 0));
  EXPECT_TRUE(JsonNestsDeeper("[]", 0));
  EXPECT_FALSE(JsonNestsDeeper("[[],[],{\"a\":[]}]", 3));
  EXPECT_TRUE(JsonNestsDeeper("[[],[],{\"a\":[]}]", 2));
  EXPECT_FALSE(JsonNestsDeeper("[[]][[]][[]]", 2)) << "one behind the other";
}

TEST(JsonDepth, BracketsInStringsAreText) {
  EXPECT_FALSE(JsonNestsDeeper(R"({"[[[[": "{{\"[[\\"})", 1));
  EXPECT_TRUE(JsonNestsDeeper(R"({"\\": [1]})", 1));
}

TEST(JsonDepth, TakesAnyBytes) {
  EXPECT_FALSE(JsonNestsDeeper("\"\\", 0));
  EXPECT_FALSE(JsonNestsDeeper("]]]]}}", 0));
  EXPECT_TRUE(JsonNestsDeeper(std::string(1'000'000, '['), 64));
}

}  // namespace
}  // namespace headroom
