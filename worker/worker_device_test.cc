#include "worker/worker_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/paths.h"

namespace headroom::worker {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The kernels' own needs do not matter here.
void NoNeeds(runtime::KernelSizes&, const model::ModelSpec&, DType, memory::KernelNeeds&) {}

ClusterConfig Config() {
  ClusterConfig config;
  config.model.path = SourceDir() + "/tests/golden/minicpmv";
  config.model.dtype = "fp32";
  config.device.memory = int64_t{128} << 20;
  config.device.threads = 1;
  return config;
}

TEST(WorkerDevice, LedgerAddsUpToTheDeviceAndIsExported) {
  const auto device = WorkerDevice::Create(Config(), {.vision = true, .llm = true}, NoNeeds, {});
  ASSERT_TRUE(device.ok()) << device.status();
  const v1::DeviceLedger ledger = (*device)->Ledger();
  EXPECT_EQ(ledger.total_bytes(), int64_t{128} << 20);
  EXPECT_EQ(ledger.lines_size(), memory::kComponents);
  int64_t planned = 0;
  for (const v1::LedgerLine& line : ledger.lines()) {
    planned += line.planned_bytes();
    EXPECT_LE(line.used_bytes(), line.reserved_bytes());
    EXPECT_LE(line.reserved_bytes(), line.planned_bytes());
  }
  EXPECT_EQ(planned, ledger.total_bytes());

  const auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  const auto token = (*device)->ExportLedger(**metrics);
  const std::string text = (*metrics)->Render();
  EXPECT_THAT(text, HasSubstr("headroom_memory_planned_bytes{component=\"kv_pool\",device=\"cpu\"}"));
  EXPECT_THAT(text, HasSubstr("headroom_memory_device_bytes{device=\"cpu\"} 134217728"));
}

// Each has its plan and its ledger; together they are the device, and the process is paid for once.
TEST(WorkerDevice, ModelsShareADevice) {
  ClusterConfig whole = Config();
  whole.model = {};
  whole.device.memory = int64_t{256} << 20;
  whole.models = {{.name = "seeing", .path = SourceDir() + "/tests/golden/minicpmv", .dtype = "fp32", .share = 0.75},
                  {.name = "text", .path = SourceDir() + "/tests/golden/qwen2", .dtype = "fp32", .share = 0.25}};
  SharedDevice shared;
  shared.memory_bytes = whole.device.memory;
  auto opened = OpenDevice(whole.device);
  ASSERT_TRUE(opened.ok()) << opened.status();
  shared.device = *std::move(opened);
  const auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  std::vector<std::unique_ptr<WorkerDevice>> parts;
  std::vector<std::shared_ptr<void>> tokens;
  int64_t total = 0, floor = 0;
  for (const char* name : {"seeing", "text"}) {
    const auto own = ConfigOfModel(whole, name, "model");
    ASSERT_TRUE(own.ok()) << own.status();
    auto part =
        WorkerDevice::CreatePart(*own, {.vision = own->model.Name() == "seeing", .llm = true}, NoNeeds, {}, shared);
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(&(*part)->device(), shared.device.get());
    EXPECT_EQ((*part)->Ledger().device(), absl::StrCat("cpu/", name));
    total += (*part)->Ledger().total_bytes();
    floor += (*part)->plan().Bytes(memory::Component::kContextFloor);
    tokens.push_back((*part)->ExportLedger(**metrics));
    parts.push_back(*std::move(part));
  }
  EXPECT_EQ(total, whole.device.memory);
  const auto alone = WorkerDevice::Create(Config(), {.vision = true, .llm = true}, NoNeeds, {});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_NEAR(floor, (*alone)->plan().Bytes(memory::Component::kContextFloor), 1);
  EXPECT_THAT((*metrics)->Render(), AllOf(HasSubstr("headroom_memory_device_bytes{device=\"cpu/seeing\"} 201326592"),
                                          HasSubstr("headroom_memory_device_bytes{device=\"cpu/text\"} 67108864")));
  tokens.clear();
}

TEST(WorkerDevice, WhatDoesNotFitIsSaidBeforeAnythingIsTaken) {
  ClusterConfig config = Config();
  config.device.memory = int64_t{4} << 20;
  const auto device = WorkerDevice::Create(config, {.vision = true, .llm = true}, NoNeeds, {});
  EXPECT_EQ(device.status().code(), absl::StatusCode::kFailedPrecondition) << device.status();
}

constexpr int64_t kCardBytes = int64_t{768} << 20;

// A card of which others hold some. It computes as the CPU does.
class SharedCard : public runtime::Device, private runtime::DeviceMonitor {
 public:
  SharedCard(std::unique_ptr<runtime::Device> cpu, int64_t others) : cpu_(std::move(cpu)), others_(others) {}
  std::string Describe() const override { return cpu_->Describe(); }
  memory::DeviceMemory& memory() override { return cpu_->memory(); }
  absl::Status Upload(std::span<const std::byte> from, memory::DevicePtr to) override { return cpu_->Upload(from, to); }
  absl::Status Download(memory::DevicePtr from, std::span<std::byte> to) override { return cpu_->Download(from, to); }
  absl::Status Wait() override { return cpu_->Wait(); }
  runtime::DeviceMonitor* monitor() override { return this; }
  runtime::Backend& backend() override { return cpu_->backend(); }

 private:
  absl::StatusOr<runtime::DeviceUse> Use() override {
    return runtime::DeviceUse{kCardBytes, kCardBytes - others_, 0, others_, true};
  }
  std::string WaitForFault(std::chrono::milliseconds) override { return ""; }

  const std::unique_ptr<runtime::Device> cpu_;
  const int64_t others_;
};

TEST(WorkerDevice, ThePoolYieldsWhatOthersHoldOfACard) {
  ClusterConfig config = Config();
  config.device.kind = "cuda";
  config.device.memory = kCardBytes;
  const auto create = [&config](int64_t others) {
    return WorkerDevice::Create(
        config, {.vision = true, .llm = true}, NoNeeds, {}, {}, [others](const runtime::DeviceOptions&) {
          return absl::StatusOr<std::unique_ptr<runtime::Device>>(
              std::make_unique<SharedCard>(*runtime::Device::Create({.kind = "cpu", .threads = 1}), others));
        });
  };
  const auto alone = create(0);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ((*alone)->plan().Bytes(memory::Component::kOtherProcesses), 0);
  const auto shared = create(int64_t{10} << 20);
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ((*shared)->plan().Bytes(memory::Component::kOtherProcesses), int64_t{10} << 20);
  EXPECT_LT((*shared)->plan().kv_blocks, (*alone)->plan().kv_blocks);
  const auto refused = create(int64_t{250} << 20);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("what the card lacks of device.memory (805306368"));
}

TEST(WorkerDevice, ThePoolYieldsWhatTheMachineLacksForDeviceAndBudgets) {
  const ClusterConfig config = Config();
  const auto create = [&config](int64_t available) {
    const memory::HostFit host = {
        .machine = {.total = int64_t{1} << 30, .available = available},
        .lines = {
            {.service = "gateway", .what = "images", .bytes = int64_t{100} << 20, .keys = "gateway.host_bytes_max"}}};
    return WorkerDevice::Create(config, {.vision = true, .llm = true}, NoNeeds, host);
  };
  const auto roomy = create(int64_t{228} << 20);
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_EQ((*roomy)->plan().Bytes(memory::Component::kOtherProcesses), 0);
  const auto tight = create(int64_t{218} << 20);
  ASSERT_TRUE(tight.ok()) << tight.status();
  EXPECT_EQ((*tight)->plan().Bytes(memory::Component::kOtherProcesses), int64_t{10} << 20);
  EXPECT_LT((*tight)->plan().kv_blocks, (*roomy)->plan().kv_blocks);

  const auto refused = create(int64_t{128} << 20);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(refused.status().message());
  EXPECT_THAT(message, HasSubstr("does not fit"));
  EXPECT_THAT(message, HasSubstr("bytes less of other processes"));
  EXPECT_THAT(message, HasSubstr("134217728 of 1073741824 bytes are available"));
  EXPECT_THAT(message, HasSubstr("104857600 of host budgets (104857600 gateway: images)"));
  EXPECT_THAT(message, HasSubstr("lowered: gateway.host_bytes_max"));
}

TEST(WorkerDevice, BadSettingsAreNamed) {
  auto message = [](auto&& spoil) {
    ClusterConfig config = Config();
    spoil(config);
    const auto device = WorkerDevice::Create(config, {.vision = true, .llm = true}, NoNeeds, {});
    EXPECT_FALSE(device.ok());
    return std::string(device.status().message());
  };
  EXPECT_THAT(message([](auto& c) { c.model.path.clear(); }), HasSubstr("model.path"));
  EXPECT_THAT(message([](auto& c) { c.model.dtype = "fp8"; }), HasSubstr("fp8"));
  EXPECT_THAT(message([](auto& c) { c.knobs.kv_cache_dtype = "int4"; }), HasSubstr("int4"));
  EXPECT_THAT(message([](auto& c) { c.device.kind = "abacus"; }), HasSubstr("abacus"));
  EXPECT_THAT(message([](auto& c) { c.knobs.block_size = 7; }), HasSubstr("block_size"));
}

TEST(WorkerDevice, KnobsReachThePlan) {
  ClusterConfig config = Config();
  config.knobs.max_num_seqs = 3;
  config.knobs.max_model_len = 777;
  config.knobs.max_patches_per_step = 2222;
  config.knobs.embedding_store_pages = 11;
  config.knobs.block_size = 32;
  config.knobs.kv_cache_dtype = "bf16";
  const auto device = WorkerDevice::Create(config, {.vision = true, .llm = true}, NoNeeds, {});
  ASSERT_TRUE(device.ok()) << device.status();
  const memory::ResolvedKnobs& knobs = (*device)->plan().knobs;
  EXPECT_EQ(knobs.max_num_seqs, 3);
  EXPECT_EQ(knobs.max_model_len, 777);
  EXPECT_EQ(knobs.max_patches_per_step, 2222);
  EXPECT_EQ(knobs.embedding_store_pages, 11);
  EXPECT_EQ(knobs.block_size, 32);
  EXPECT_EQ(knobs.kv_cache_dtype, DType::kBF16);
}

}  // namespace
}  // namespace headroom::worker
