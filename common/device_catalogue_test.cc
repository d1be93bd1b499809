#include "common/device_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(DeviceCatalogue, KnowsTheCardsAndTheirFloors) {
  const DeviceCatalogue catalogue;
  for (const char* name : {"rtx3090", "rtx4090", "a10", "l4", "l40s", "a100-40", "a100-80", "h100", "h200"}) {
    const auto device = catalogue.Find(name);
    ASSERT_TRUE(device.ok()) << device.status();
    EXPECT_EQ(device->kind, "cuda");
    EXPECT_GT(device->memory, int64_t{22} << 30);
    EXPECT_GT(device->context_floor, 0);
    EXPECT_FALSE(device->source.empty());
    EXPECT_THAT(device->capability, AnyOf(80, 86, 89, 90)) << name;
    EXPECT_LT(device->multiprocessors, catalogue.Find("cuda:24GiB")->multiprocessors) << "assumed for an unknown card";
  }
  EXPECT_EQ(catalogue.Find("rtx3090")->memory, int64_t{24} << 30);
}

TEST(DeviceCatalogue, TakesASizeWhereMemoryIsOpen) {
  const DeviceCatalogue catalogue;
  EXPECT_EQ(catalogue.Find("cpu:20GiB")->memory, int64_t{20} << 30);
  EXPECT_EQ(catalogue.Find("cpu:20GiB")->kind, "cpu");
  EXPECT_EQ(catalogue.Find("cuda:48GiB")->context_floor, int64_t{512} << 20);
  const std::pair<const char*, const char*> bad[] = {{"cpu", "needs a size, as in cpu:24GiB"},
                                                     {"rtx3090:1GiB", "its memory is known"},
                                                     {"cpu:-1GiB", "cpu:-1GiB"},
                                                     {"cpu:0", "not between"},
                                                     {"cpu:9999999TiB", "cpu:9999999TiB"},
                                                     {"abacus", "not known; there are cpu:SIZE"},
                                                     {"", "not known"}};
  for (const auto& [name, message] : bad) {
    EXPECT_THAT(std::string(catalogue.Find(name).status().message()), HasSubstr(message)) << name;
  }
}

TEST(DeviceCatalogue, AFileAddsAndReplaces) {
  DeviceCatalogue catalogue;
  ASSERT_TRUE(catalogue.Add("b300: {memory: 270GiB, context_floor: 700MiB}\nl4: {memory: 22GiB}\n", "own.yaml").ok());
  EXPECT_EQ(catalogue.Find("b300")->context_floor, int64_t{700} << 20);
  EXPECT_EQ(catalogue.Find("l4")->memory, int64_t{22} << 30);
  EXPECT_EQ(catalogue.Find("l4")->libraries, 0) << "replaced whole";
  const std::pair<const char*, const char*> bad[] = {
      {"x: {memory: 1GiB, colour: red}", "own.yaml:1: unknown key 'x.colour'"},
      {"x: 3", "must be a mapping"},
      {"- x", "must be a mapping of device names"},
      {"x: {memory: much}", "own.yaml:1"},
      {"x: {kind: tpu}", "kind"},
      {"x: {capability: 7}", "capability"},
      {"'x:y': {memory: 1GiB}", "a name without ':'"},
      {"x: {memory: 1GiB}\nx: {memory: 2GiB}", "own.yaml:2"},
      {"x: {memory: [1]}", "not a list"},
      {"{", "not YAML"}};
  for (const auto& [yaml, message] : bad) {
    EXPECT_THAT(std::string(catalogue.Add(yaml, "own.yaml").message()), HasSubstr(message)) << yaml;
  }
}

}  // namespace
}  // namespace headroom
