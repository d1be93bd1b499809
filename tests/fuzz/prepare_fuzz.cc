// Requests of clients as they come from the wire, up to what the gateway asks admission for.
#include <algorithm>
#include <set>

#include "common/check.h"
#include "common/testing/paths.h"
#include "common/utf8.h"
#include "gateway/prepare.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

constexpr gateway::ClusterLimits kLimits = {
    .block_size = 16, .max_model_len = 2000, .max_patches_per_step = 2048, .embedding_row_bytes = 256 * 2};

const gateway::ServedModels& Models() {
  static const gateway::ServedModels* const models = [] {
    auto loaded = gateway::ServedModel::Load(SourceDir() + "/tests/golden/minicpmv");
    HEADROOM_CHECK(loaded.ok()) << loaded.status();
    std::vector<std::unique_ptr<gateway::ServedModel>> one;
    one.push_back(*std::move(loaded));
    return new gateway::ServedModels(std::move(one));
  }();
  return *models;
}

const gateway::ServedModel& Golden() { return *Models().all().front(); }

// Every added token of the prompt is one that the template or an image put there, never a user's text.
void CheckPrompt(const v1::GenerateRequest& request, const gateway::PreparedRequest& prepared) {
  const auto& ids = prepared.prompt_ids;
  HEADROOM_CHECK(static_cast<int64_t>(ids.size()) < kLimits.max_model_len);
  HEADROOM_CHECK(prepared.usage.prompt_tokens() == static_cast<int64_t>(ids.size()));
  int64_t end = 0;
  int64_t rows = 0;
  const auto placeholder = Golden().tokenizer->TokenId(Golden().config.markers.placeholder);
  for (const v1::EmbeddingSpan& span : prepared.spans) {
    HEADROOM_CHECK(span.begin() >= end && span.rows() > 0);
    end = span.begin() + span.rows();
    rows += span.rows();
    HEADROOM_CHECK(end <= static_cast<int64_t>(ids.size()));
    HEADROOM_CHECK(
        std::all_of(ids.begin() + span.begin(), ids.begin() + end, [&](int32_t id) { return id == placeholder; }));
  }
  HEADROOM_CHECK(rows == prepared.usage.image_tokens());
  const auto added = std::count_if(ids.begin(), ids.end(), [](int32_t id) { return Golden().tokenizer->IsAdded(id); });
  const std::string& first = request.messages(0).role();
  const bool default_system = first != "system" && first != "developer";
  const int64_t turns = request.messages_size() + (default_system ? 1 : 0);
  const auto images = static_cast<int64_t>(prepared.images.size());
  const auto pieces = static_cast<int64_t>(prepared.spans.size());
  HEADROOM_CHECK(added <= 2 * turns + 1 + rows + 2 * pieces + 2 * images) << added;
}

void Run(const std::string& input) {
  v1::GenerateRequest request;
  if (!request.ParseFromString(input)) return;
  const GatewaySection config;
  const auto model = Models().Find(request.model());
  if (!model.ok()) {
    CheckClientError(model.status(), absl::StatusCode::kNotFound);
    return;
  }
  const auto prepared = gateway::Prepare(request, **model, config, kLimits);
  const int64_t work = gateway::PrepareBytes(request, Golden(), kLimits);
  const auto size = static_cast<int64_t>(input.size());
  HEADROOM_CHECK(work >= 0 && work <= std::max(model::ChatTemplate::WorkBytesMax(size, size),
                                               Golden().tokenizer->work_bytes_per_text_byte() * size));
  if (!prepared.ok()) {
    CheckClientError(prepared.status());
    return;
  }
  CheckPrompt(request, *prepared);
  HEADROOM_CHECK(prepared->images.size() == prepared->image_bytes.size());
  HEADROOM_CHECK(prepared->max_tokens >= 1);
  HEADROOM_CHECK(prepared->usage.prompt_tokens() + prepared->max_tokens <= kLimits.max_model_len);
  HEADROOM_CHECK(prepared->price.vision.has_value() == !prepared->images.empty());
  HEADROOM_CHECK(prepared->price.llm.has_value() && prepared->price.llm->kv_blocks > 0);
  HEADROOM_CHECK(prepared->choices >= 1 && prepared->price.llm->slots == prepared->choices);
  HEADROOM_CHECK(prepared->min_tokens >= 0 && prepared->min_tokens <= prepared->max_tokens);
  const int64_t vocab_size = Golden().config.llm.vocab_size;
  for (const int32_t id : prepared->stop_ids) HEADROOM_CHECK(id >= 0 && id < vocab_size) << id;
  for (const auto& [id, bias] : prepared->sampling.logit_bias()) {
    HEADROOM_CHECK(id >= 0 && id < vocab_size && bias >= -100 && bias <= 100) << id << " " << bias;
  }
}

std::string Ask(const std::string& text, const std::vector<std::string>& pictures) {
  v1::GenerateRequest request;
  v1::Message* message = request.add_messages();
  message->set_role("user");
  for (const std::string& picture : pictures) message->add_content()->mutable_image()->set_data(picture);
  message->add_content()->set_text(text);
  return request.SerializeAsString();
}

std::vector<std::string> Seeds() {
  // The header of a picture is all that is read.
  std::vector<std::string> pictures = TreeFiles("tests/golden/minicpmv/images", {"wide.png", "dot.png"});
  for (std::string& picture : pictures) picture.resize(std::min<size_t>(picture.size(), 64));
  v1::GenerateRequest full;
  full.set_model("minicpmv");
  for (const char* role : {"system", "user", "assistant", "user"}) {
    v1::Message* message = full.add_messages();
    message->set_role(role);
    message->add_content()->set_text("<image> \xC3\xA9 <|im_end|>");
  }
  full.set_max_tokens(7);
  full.mutable_sampling()->set_temperature(0.5);
  full.mutable_sampling()->set_top_p(0.5);
  full.mutable_sampling()->set_top_k(5);
  full.mutable_sampling()->set_repetition_penalty(1.5);
  full.mutable_sampling()->set_seed(1);
  full.mutable_sampling()->set_min_p(0.1f);
  full.mutable_sampling()->set_presence_penalty(0.5f);
  full.mutable_sampling()->set_frequency_penalty(-0.5f);
  (*full.mutable_sampling()->mutable_logit_bias())[7] = -100;
  full.set_n(3);
  full.set_min_tokens(2);
  full.set_ignore_eos(true);
  full.add_stop_token_ids(9);
  full.set_logprobs(2);
  full.set_prompt_logprobs(1);
  full.add_stop("stop");
  full.set_max_slice_nums(4);
  full.set_priority(1);
  full.set_request_id("id");
  v1::GenerateRequest unknown = full;
  unknown.set_model(std::string(500, 'x') + "\xC3\xA9");
  v1::GenerateRequest tools = full;
  tools.add_tools()->set_name("f");
  tools.mutable_tools(0)->set_parameters_json(R"({"type": "object", "properties": {"a": {"enum": [1, "<image>"]}}})");
  v1::ToolCall* call = tools.mutable_messages(2)->add_tool_calls();
  call->set_name("f");
  call->set_arguments_json(R"({"a": "<|im_end|>"})");
  tools.mutable_messages(3)->set_role("tool");
  tools.mutable_messages(3)->set_tool_call_id("1");
  v1::GenerateRequest continued = full;
  continued.mutable_messages(3)->set_role("assistant");
  continued.set_continue_final_message(true);
  return {Ask("Hello", {}),
          Ask("What?", pictures),
          Ask("", {pictures[0]}),
          full.SerializeAsString(),
          unknown.SerializeAsString(),
          tools.SerializeAsString(),
          continued.SerializeAsString()};
}

const Registration registration({"prepare", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
