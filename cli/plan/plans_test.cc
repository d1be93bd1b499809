// headroom plan as a function: options in, plans, JSON and chart values out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/plan/outputs.h"
#include "common/testing/paths.h"
#include "common/units.h"
#include "memory/component.h"

namespace headroom::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

PlanOptions Options(const std::string& model, const std::vector<std::string>& devices) {
  PlanOptions options;
  options.model = SourceDir() + "/" + model;
  options.devices = devices;
  options.knobs.min_full_length_seqs = 1;
  return options;
}

Plans Made(const PlanOptions& options) {
  auto plans = MakeOnePlan(ClusterConfig(), options);
  EXPECT_TRUE(plans.ok()) << plans.status();
  return plans.ok() ? *std::move(plans) : Plans();
}

int64_t Sum(const Json& lines) {
  int64_t sum = 0;
  for (const Json& line : lines) sum += line.at("bytes").get<int64_t>();
  return sum;
}

TEST(PlanCommand, JsonSumsToEveryDevice) {
  PlanOptions options = Options("tests/golden/minicpmv", {"cpu:256MiB", "rtx3090", "h200"});
  const Plans plans = Made(options);
  EXPECT_TRUE(plans.fits());
  const Json json = Json::parse(PlanJson(plans));
  EXPECT_TRUE(json.at("fits"));
  EXPECT_TRUE(json.at("model").at("served"));
  ASSERT_EQ(json.at("devices").size(), 3u);
  for (const Json& device : json.at("devices")) {
    ASSERT_EQ(device.at("ranks").size(), 1u);
    EXPECT_EQ(Sum(device.at("ranks")[0].at("lines")), device.at("memory_bytes").get<int64_t>());
    EXPECT_EQ(device.at("ranks")[0].at("lines").size(), static_cast<size_t>(memory::kComponents));
    EXPECT_TRUE(device.at("ranks")[0].at("plan_only").empty());
    EXPECT_FALSE(device.at("frontier").empty());
  }
  EXPECT_GT(Sum(json.at("host")), kGiB);
}

TEST(PlanCommand, OneDeviceIsATableSeveralStandSideBySide) {
  EXPECT_THAT(PlanText(Made(Options("tests/golden/llama", {"cpu:256MiB"}))), HasSubstr("plan for cpu:256MiB, bf16"));
  PlanOptions options = Options("tests/golden/llama", {"cpu:256MiB", "l4"});
  const std::string text = PlanText(Made(options));
  EXPECT_THAT(text, HasSubstr("cpu:256MiB"));
  EXPECT_THAT(text, HasSubstr("full-length sequences"));
  EXPECT_THAT(text, HasSubstr("assumed: l4: total as nvidia-smi reports it with ECC on; no card has been measured"));
}

// What the backend on such a card asks for (runtime/cuda/card_sizes.h); tests/integration/test_cuda.py compares a plan
// with what a worker reserves.
TEST(PlanCommand, ACardHasTheScratchOfItsKernels) {
  const Plans plans = Made(Options("tests/golden/minicpmv", {"a100-80", "h100", "l4", "cuda:24GiB"}));
  ASSERT_TRUE(plans.fits());
  const struct {
    int64_t workspace, multiprocessors;
  } expected[] = {{4 * kMiB, 108}, {32 * kMiB, 132}, {4 * kMiB, 58}, {32 * kMiB, 192}};
  const int64_t head_dim = plans.spec.llm.head_dim;
  for (size_t i = 0; i < plans.devices.size(); ++i) {
    const memory::Plan& plan = plans.devices[i].ranks.front();
    EXPECT_EQ(plan.llm_step.linear_scratch.bytes(), expected[i].workspace + 192) << plan.device;
    EXPECT_EQ(plan.vision_step.linear_scratch.bytes(), expected[i].workspace + 192) << plan.device;
    EXPECT_EQ(plan.llm_step.attention_scratch.bytes(),
              2 * expected[i].multiprocessors * 2 * 16 * (head_dim + 2) * int64_t{sizeof(float)})
        << plan.device;
  }
}

TEST(PlanCommand, PinnedMemoryIsAHostLineOfACard) {
  const auto has_pinned = [](const Plans& plans) {
    return std::any_of(plans.host.begin(), plans.host.end(),
                       [](const HostLine& line) { return line.what == "pinned memory for copies"; });
  };
  EXPECT_TRUE(has_pinned(Made(Options("tests/golden/minicpmv", {"l4"}))));
  EXPECT_FALSE(has_pinned(Made(Options("tests/golden/minicpmv", {"cpu:256MiB"}))));
}

TEST(PlanCommand, WhatDoesNotFitSaysWhatWould) {
  PlanOptions options = Options("tests/golden/minicpmv", {"cpu:256MiB"});
  options.knobs.max_model_len = 8192;
  options.knobs.min_full_length_seqs = 1000;
  const Plans plans = Made(options);
  EXPECT_FALSE(plans.fits());
  const std::string text = PlanText(plans);
  EXPECT_THAT(text, HasSubstr("KV pool for 1000 sequence(s) of 8192 tokens needs"));
  EXPECT_THAT(text, HasSubstr("can hold with the other knobs as they are"));
  const Json json = Json::parse(PlanJson(plans));
  EXPECT_FALSE(json.at("fits"));
  EXPECT_FALSE(json.at("devices")[0].at("fits"));
  EXPECT_THAT(json.at("devices")[0].at("refusal").get<std::string>(), HasSubstr("does not fit"));
}

TEST(PlanCommand, WhatWasAssumedIsSaidOfARefusalToo) {
  const std::string text = PlanText(Made(Options("models/cards/kimi-k2-thinking", {"h200"})));
  EXPECT_THAT(text, HasSubstr("does not fit on h200"));
  EXPECT_THAT(text, HasSubstr("assumed: q_lora_rank = 1536 (class default)"));
}

TEST(PlanCommand, TheConfigurationCountsAndFlagsWin) {
  ClusterConfig config;
  config.model.path = SourceDir() + "/tests/golden/minicpmv";
  config.device.memory = 300 << 20;
  config.knobs.max_num_seqs = 5;
  config.knobs.max_model_len = 1000;
  PlanOptions options;
  options.knobs.max_model_len = 700;
  const auto plans = MakeOnePlan(config, options);
  ASSERT_TRUE(plans.ok()) << plans.status();
  ASSERT_TRUE(plans->fits()) << plans->devices[0].refusal;
  const memory::Plan& plan = plans->devices[0].ranks[0];
  EXPECT_EQ(plan.device_bytes, 300 << 20);
  EXPECT_EQ(plan.knobs.max_num_seqs, 5);
  EXPECT_EQ(plan.knobs.max_model_len, 700);
  EXPECT_THAT(plan.plan_only, IsEmpty());
}

// As `headroom up` lays them out: what the process takes is borne in proportion, and the sum is the device.
TEST(PlanCommand, ModelsShareADevice) {
  ClusterConfig config;
  config.device.memory = 400 << 20;
  config.models = {{.name = "big", .aliases = {"b"}, .path = SourceDir() + "/tests/golden/minicpmv", .share = 0.75},
                   {.name = "small", .path = SourceDir() + "/tests/golden/qwen2", .dtype = "fp32", .share = 0.25}};
  config.models[1].knobs.max_num_seqs = 3;
  const auto all = MakePlans(config, {});
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 2U);
  int64_t planned = 0, floor = 0;
  for (const Plans& plans : *all) {
    ASSERT_TRUE(plans.fits()) << plans.devices[0].refusal;
    const memory::Plan& plan = plans.devices[0].ranks[0];
    for (const memory::Component line : memory::AllComponents()) planned += plan.Bytes(line);
    floor += plan.Bytes(memory::Component::kContextFloor);
  }
  EXPECT_EQ(planned, config.device.memory);
  const auto alone = MakeOnePlan(config, {.model = SourceDir() + "/tests/golden/qwen2"});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_NEAR(floor, alone->devices[0].ranks[0].Bytes(memory::Component::kContextFloor), 1);
  EXPECT_EQ((*all)[1].devices[0].ranks[0].knobs.max_num_seqs, 3);
  EXPECT_EQ((*all)[1].devices[0].ranks[0].device, "cpu/small");
  EXPECT_THAT(PlanText(*all), HasSubstr("shares of the device"));
  const Json json = Json::parse(PlanJson(*all));
  EXPECT_EQ(json["models"][1]["name"], "small");
  EXPECT_TRUE(json["fits"]);

  // One by its alias, as part of the whole; in a role, a worker of its own with all of what its process takes.
  const auto one = MakeOnePlan(config, {.model = "b"});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->devices[0].ranks[0].kv_blocks, (*all)[0].devices[0].ranks[0].kv_blocks);
  const auto worker = MakeOnePlan(config, {.model = "small", .role = "llm"});
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->devices[0].device.memory, 100 << 20);
  EXPECT_EQ(worker->devices[0].ranks[0].device, "cpu");
  EXPECT_THAT(std::string(MakeOnePlan(config, {}).status().message()), HasSubstr("Name one of big, small"));

  config.models[0].share = 0.9;
  EXPECT_THAT(std::string(MakePlans(config, {}).status().message()), HasSubstr("models.big.share 0.9"));
}

TEST(PlanCommand, WhatIsOnlyPlannedIsSaid) {
  PlanOptions options = Options("tests/golden/minicpmv", {"cpu:1GiB"});
  options.quantization = "int4-g64";
  options.kv_cache_dtype = "fp8";
  options.knobs.tensor_parallel_size = 2;
  const Plans plans = Made(options);
  ASSERT_TRUE(plans.fits()) << plans.devices[0].refusal;
  EXPECT_EQ(plans.devices[0].ranks.size(), 2u);
  const std::string text = PlanText(plans);
  EXPECT_THAT(text, HasSubstr("plan only: int4 in groups of 64 weights"));
  EXPECT_THAT(text, HasSubstr("plan only: kv_cache_dtype fp8"));
  EXPECT_THAT(text, HasSubstr("plan only: tensor_parallel_size 2"));
  EXPECT_THAT(text, HasSubstr("rank 1"));
}

TEST(PlanCommand, ChartValuesSumToTheDevice) {
  PlanOptions options = Options("tests/golden/minicpmv", {"cpu:256MiB"});
  for (const char* role : {"vision", "llm"}) {
    options.role = role;
    const Plans plans = Made(options);
    const std::string values = PlanHelmValues(plans, "pool-a", "headroom plan");
    EXPECT_THAT(values, HasSubstr("  pool-a:\n    role: " + std::string(role)));
    EXPECT_THAT(values, HasSubstr("deviceBytes: 268435456"));
    int64_t sum = 0;
    size_t at = values.find("components:");
    while ((at = values.find(": ", at)) != std::string::npos)
      sum += std::strtoll(values.c_str() + (at += 2), nullptr, 10);
    EXPECT_EQ(sum, 268'435'456);
  }
}

// Every card, device and number of ranks: a plan whose lines sum to the device, or a refusal that names a line or a
// size.
TEST(PlanCommand, EveryKnownModelOnEveryDevice) {
  int fits = 0, refused = 0;
  const DeviceCatalogue catalogue;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/models/cards")) {
    if (!entry.is_directory()) continue;
    for (const CatalogueDevice& device : catalogue.devices()) {
      for (const int64_t ranks : {1, 2, 8, 16}) {
        PlanOptions options;
        options.model = entry.path().string();
        options.devices = {device.memory > 0 ? device.name : device.name + ":24GiB"};
        if (ranks > 1) options.knobs.tensor_parallel_size = ranks;
        const auto plans = MakeOnePlan(ClusterConfig(), options);
        if (!plans.ok()) {
          EXPECT_THAT(std::string(plans.status().message()), HasSubstr("does not divide")) << options.model;
          continue;
        }
        for (const memory::Plan& plan : plans->devices[0].ranks) {
          int64_t sum = 0;
          for (const memory::PlanLine& line : plan.lines) sum += line.bytes;
          EXPECT_EQ(sum, plan.device_bytes);
          EXPECT_EQ(plan.plan_only.empty(), plans->served && ranks == 1);
        }
        if (!plans->fits()) {
          EXPECT_THAT(std::string(plans->devices[0].refusal.message()), HasSubstr(" needs "));
        }
        ++(plans->fits() ? fits : refused);
      }
    }
  }
  EXPECT_GT(fits, 50);
  EXPECT_GT(refused, 10);
}

TEST(PlanCommand, BadOptionsAreNamed) {
  const auto message = [](auto change) {
    PlanOptions options = Options("tests/golden/minicpmv", {"cpu:256MiB"});
    change(options);
    const auto plans = MakeOnePlan(ClusterConfig(), options);
    EXPECT_TRUE(absl::IsInvalidArgument(plans.status())) << plans.status();
    return std::string(plans.status().message());
  };
  EXPECT_THAT(message([](PlanOptions& o) { o.model.clear(); }), HasSubstr("which model?"));
  EXPECT_THAT(message([](PlanOptions& o) { o.role = "cook"; }), HasSubstr("got 'cook'"));
  EXPECT_THAT(message([](PlanOptions& o) { o.dtype = "fp64"; }), HasSubstr("fp64"));
  EXPECT_THAT(message([](PlanOptions& o) { o.isa = "mmx"; }), HasSubstr("mmx"));
  EXPECT_THAT(message([](PlanOptions& o) { o.quantization = "int3"; }), HasSubstr("got 'int3'"));
  EXPECT_THAT(message([](PlanOptions& o) { o.kv_cache_dtype = "int4"; }), HasSubstr("int4"));
  EXPECT_THAT(message([](PlanOptions& o) { o.devices = {"abacus"}; }), HasSubstr("device abacus: not known"));
  EXPECT_THAT(message([](PlanOptions& o) { o.other_processes = "-1GiB"; }), HasSubstr("-1GiB"));
  EXPECT_THAT(message([](PlanOptions& o) { o.knobs.max_num_seqs = -5; }), HasSubstr("max_num_seqs: -5"));
  EXPECT_THAT(message([](PlanOptions& o) { o.knobs.gpu_memory_utilization = 1.5; }),
              HasSubstr("gpu_memory_utilization: 1.5"));
  EXPECT_THAT(message([](PlanOptions& o) { o.knobs.tensor_parallel_size = 1 << 20; }),
              HasSubstr("tensor_parallel_size: 1048576"));
}

}  // namespace
}  // namespace headroom::cli
