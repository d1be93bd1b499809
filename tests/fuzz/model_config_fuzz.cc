// Model directories: config.json and its companions, and the memory plan that is computed from them alone.
#include "common/check.h"
#include "common/utf8.h"
#include "memory/plan.h"
#include "model/reading/registry.h"
#include "model/spec.h"
#include "model/testing/checkpoint_writer.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

// The files follow one another, each but the last ended by a zero.
model::ConfigTexts TextsOf(const std::string& input) {
  model::ConfigTexts texts;
  size_t begin = 0;
  for (std::string* text : {&texts.config, &texts.preprocessor, &texts.generation}) {
    const size_t end = std::min(input.find('\0', begin), input.size());
    *text = input.substr(begin, end - begin);
    begin = std::min(end + 1, input.size());
  }
  return texts;
}

void CheckPlan(const model::ModelSpec& card, int64_t ranks) {
  memory::PlanRequest request;
  request.device = {.name = "card", .memory_bytes = int64_t{80} << 30};
  request.knobs.tensor_parallel_size = ranks;
  const auto plan = memory::MakePlan(card, request);
  if (!plan.ok()) {
    HEADROOM_CHECK(IsValidUtf8(std::string(plan.status().message()))) << plan.status();
    return;
  }
  int64_t sum = 0;
  for (const memory::PlanLine& line : plan->lines) {
    HEADROOM_CHECK(line.bytes >= 0) << line.detail;
    sum += line.bytes;
  }
  HEADROOM_CHECK(sum == plan->device_bytes) << sum;
  HEADROOM_CHECK(!plan->ToTable().empty());
}

void Run(const std::string& input) {
  const model::ConfigTexts texts = TextsOf(input);
  // Whatever loads may be multiplied and planned without another look.
  const auto spec = model::ParseModelSpec(texts);
  if (!spec.ok()) return CheckClientError(spec.status());
  HEADROOM_CHECK(model::ParameterCount(spec->tensors) >= 0);
  for (const std::string& reason : model::WhyNotServed(*spec)) HEADROOM_CHECK(IsValidUtf8(reason)) << reason;
  for (const int64_t ranks : {1, 2, 8}) CheckPlan(*spec, ranks);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const auto architecture : {"MiniCPMV", "Qwen2ForCausalLM", "LlamaForCausalLM"}) {
    seeds.push_back(model::testing::SmallConfig(architecture));
  }
  seeds.push_back(TreeFile("models/demo/config.json") + '\0' + TreeFile("models/demo/preprocessor_config.json") + '\0' +
                  TreeFile("models/demo/generation_config.json"));
  for (std::string& card : TreeFiles("models/cards", {"/config.json"})) seeds.push_back(std::move(card));
  return seeds;
}

const Registration registration({"model_config", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
