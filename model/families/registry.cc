#include "model/families/registry.h"

namespace headroom::model::families {
namespace {

struct Family {
  const char* architecture;
  FamilyFunction read;
};

// Sorted by name.
constexpr Family kFamilies[] = {
    {"DeepseekV3ForCausalLM", DeepseekV3},
    {"Glm4vForConditionalGeneration", Glm4v},
    {"Glm4vMoeForConditionalGeneration", Glm4vMoe},
    {"GlmAsrForConditionalGeneration", GlmAsr},
    {"HunYuanVLForConditionalGeneration", HunyuanVl},
    {"LlamaForCausalLM", LlamaLike},
    {"MiniCPMV", MiniCpmV},
    {"MistralForCausalLM", LlamaLike},
    {"Qwen2ForCausalLM", LlamaLike},
    {"Qwen3ForCausalLM", LlamaLike},
};

}  // namespace

FamilyFunction FamilyOf(const std::string& architecture) {
  for (const Family& family : kFamilies) {
    if (architecture == family.architecture) return family.read;
  }
  return nullptr;
}

std::vector<std::string> KnownArchitectures() {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) names.emplace_back(family.architecture);
  return names;
}

}  // namespace headroom::model::families
