#include "gateway/prepare.h"

#include <algorithm>
#include <optional>

#include "admission/price.h"
#include "common/field_error.h"
#include "common/utf8.h"
#include "gateway/constraint.h"
#include "gateway/image_pricer.h"
#include "gateway/out_of_range.h"
#include "gateway/own_refusals.h"
#include "gateway/sampling_params.h"
#include "model/request_limits.h"

namespace headroom::gateway {
namespace {

constexpr int kStopStringsMax = 8;
constexpr size_t kStopStringBytesMax = 128;

// Calls are read from the text of an answer where the model's family marks them in a way that is known.
absl::Status CheckToolChoice(const v1::GenerateRequest& request, const ServedModel& model) {
  const v1::ToolChoice& choice = request.tool_choice();
  if (choice.mode() == v1::ToolChoice::NONE && !choice.function().empty()) {
    return absl::InvalidArgumentError("tool_choice: NONE excludes a function");
  }
  if (choice.mode() != v1::ToolChoice::AUTO || request.tools().empty() ||
      model.answer_syntax.calls != CallForm::kNone) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "tool_choice AUTO: the model's chat template has no tools, or calls in a form that is not read here "
      "(docs/chat-templates.md)");
}

absl::Status CheckLogprobs(const v1::GenerateRequest& request) {
  const auto in_range = [](int32_t count) { return count >= 0 && count <= model::kAlternativesMax; };
  const std::string limit = absl::StrCat("in [0, ", model::kAlternativesMax, "]");
  if (request.has_logprobs() && !in_range(request.logprobs())) {
    return OutOfRange("logprobs", request.logprobs(), limit);
  }
  if (request.has_prompt_logprobs() && !in_range(request.prompt_logprobs())) {
    return OutOfRange("prompt_logprobs", request.prompt_logprobs(), limit);
  }
  return absl::OkStatus();
}

absl::Status CheckScalars(const v1::GenerateRequest& request) {
  if (request.n() < 0 || request.n() > model::kChoicesMax) {
    return OutOfRange("n", request.n(), absl::StrCat("in [0, ", model::kChoicesMax, "]"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckLogprobs(request));
  if (request.priority() < admission::kPriorityMin || request.priority() > admission::kPriorityMax) {
    return OutOfRange("priority", request.priority(),
                      absl::StrCat("in [", admission::kPriorityMin, ", ", admission::kPriorityMax, "]"));
  }
  // Also of a request without pictures: a field that is wrong is refused, used or not.
  if (request.has_max_slice_nums() &&
      (request.max_slice_nums() < 1 || request.max_slice_nums() > model::kMaxSliceNumsLimit)) {
    return OutOfRange("max_slice_nums", request.max_slice_nums(),
                      absl::StrCat("in [1, ", model::kMaxSliceNumsLimit, "]"));
  }
  if (request.has_max_tokens() && request.max_tokens() < 1)
    return OutOfRange("max_tokens", request.max_tokens(), "at least 1");
  if (request.stop_size() > kStopStringsMax) {
    return OutOfRange("the number of stop strings", request.stop_size(), absl::StrCat("at most ", kStopStringsMax));
  }
  for (int i = 0; i < request.stop_size(); ++i) {
    const size_t bytes = request.stop(i).size();
    if (bytes >= 1 && bytes <= kStopStringBytesMax) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("stop string ", i + 1, ": has ", bytes, " bytes; it must be 1 to ", kStopStringBytesMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<model::MessagePart>> Parts(const v1::Message& message, ImagePricer& pricer) {
  std::vector<model::MessagePart> parts;
  for (int i = 0; i < message.content_size(); ++i) {
    const v1::ContentPart& part = message.content(i);
    switch (part.part_case()) {
      case v1::ContentPart::kText:
        parts.emplace_back(part.text());
        break;
      case v1::ContentPart::kImage: {
        HEADROOM_ASSIGN_OR_RETURN(model::ImagePart image, pricer.Add(part.image()));
        parts.emplace_back(image);
        break;
      }
      default:
        return absl::InvalidArgumentError(absl::StrCat("part ", i + 1, ": is neither text nor image"));
    }
  }
  return parts;
}

absl::StatusOr<model::ChatMessage> ReadMessage(const v1::Message& message, const std::string& which,
                                               ImagePricer& pricer) {
  const auto role = model::ParseChatRole(message.role());
  if (!role) {
    return absl::InvalidArgumentError(absl::StrCat(which, "unknown role '", CutText(message.role(), 64),
                                                   "'; it must be system, developer, user, assistant or tool"));
  }
  model::ChatMessage read{.role = *role, .parts = {}};
  absl::StatusOr<std::vector<model::MessagePart>> parts = Parts(message, pricer);
  if (!parts.ok()) {
    // A picture is named by its own number.
    const std::string words(parts.status().message());
    return words.starts_with("part ") ? absl::InvalidArgumentError(which + words) : parts.status();
  }
  read.parts = *std::move(parts);
  for (const v1::ToolCall& call : message.tool_calls()) {
    read.tool_calls.push_back({.id = call.id(), .name = call.name(), .arguments_json = call.arguments_json()});
  }
  read.tool_call_id = message.tool_call_id();
  read.name = message.name();
  return read;
}

absl::StatusOr<model::Conversation> ReadConversation(const v1::GenerateRequest& request, ImagePricer& pricer) {
  model::Conversation conversation;
  for (int i = 0; i < request.messages_size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(conversation.messages.emplace_back(),
                              ReadMessage(request.messages(i), absl::StrCat("message ", i + 1, ": "), pricer));
  }
  // With NONE the model is told of no tool.
  for (const v1::Tool& tool : request.tools()) {
    if (request.tool_choice().mode() == v1::ToolChoice::NONE) break;
    conversation.tools.push_back(
        {.name = tool.name(), .description = tool.description(), .parameters_json = tool.parameters_json()});
  }
  conversation.template_arguments_json = request.template_arguments_json();
  conversation.continue_final_message = request.continue_final_message();
  conversation.add_generation_prompt =
      request.has_add_generation_prompt() ? request.add_generation_prompt() : !request.continue_final_message();
  return conversation;
}

absl::Status CheckTemplateArguments(const model::Conversation& conversation, const ServedModel& model) {
  std::string name;
  const absl::Status read = model.prompts->chat_template().CheckArguments(conversation, &name);
  return FieldError(absl::StrCat("template_arguments_json", name.empty() ? "" : ".", name), read);
}

absl::Status CheckPrompt(const v1::GenerateRequest& request) {
  if (request.prompt().empty()) return absl::OkStatus();
  if (request.messages_size() > 0 || request.tools_size() > 0) {
    return absl::InvalidArgumentError("prompt excludes messages and tools: it is the whole prompt");
  }
  if (request.continue_final_message() || request.has_add_generation_prompt()) {
    return absl::InvalidArgumentError("prompt excludes continue_final_message and add_generation_prompt");
  }
  if (!request.template_arguments_json().empty()) {
    return absl::InvalidArgumentError("prompt excludes template_arguments_json: no template reads it");
  }
  return absl::OkStatus();
}

absl::StatusOr<model::Prompt> BuildPrompt(const v1::GenerateRequest& request, const ServedModel& model,
                                          const ClusterLimits& limits, ImagePricer& pricer) {
  HEADROOM_RETURN_IF_ERROR(CheckPrompt(request));
  // One token of room at least: a prompt that leaves none can have no answer.
  const int64_t tokens_max = limits.max_model_len - 1;
  absl::StatusOr<model::Prompt> prompt;
  if (request.prompt().empty()) {
    HEADROOM_ASSIGN_OR_RETURN(const model::Conversation conversation, ReadConversation(request, pricer));
    HEADROOM_RETURN_IF_ERROR(CheckTemplateArguments(conversation, model));
    prompt = model.prompts->Build(conversation, tokens_max);
  } else {
    prompt = model.prompts->BuildText(request.prompt(), tokens_max);
  }
  if (absl::IsOutOfRange(prompt.status())) {
    return OwnRefusal(RefusalReason::kModelLimit, std::string(prompt.status().message()));
  }
  return prompt;
}

// The model's own and the request's.
absl::StatusOr<std::vector<int32_t>> ResolveStopIds(const v1::GenerateRequest& request, const ServedModel& model) {
  constexpr int kOwnMax = 64;
  if (request.stop_token_ids_size() > kOwnMax) {
    return OutOfRange("the number of stop_token_ids", request.stop_token_ids_size(), absl::StrCat("at most ", kOwnMax));
  }
  std::vector<int32_t> ids;
  if (!request.ignore_eos()) ids = model.stop_ids;
  for (const int32_t id : request.stop_token_ids()) {
    HEADROOM_RETURN_IF_ERROR(CheckTokenId("stop_token_ids", id, model.config.llm.vocab_size));
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

absl::Status CheckMinTokens(const v1::GenerateRequest& request, int64_t max_tokens) {
  if (request.min_tokens() >= 0 && request.min_tokens() <= max_tokens) return absl::OkStatus();
  return OutOfRange("min_tokens", request.min_tokens(), absl::StrCat("in [0, ", max_tokens, "], max_tokens"));
}

// One span per piece: embeddings of image i are reference i, its pieces counted from 0.
void FillSpans(const model::Prompt& prompt, const std::vector<int64_t>& columns, PreparedRequest* prepared) {
  size_t next = 0;
  for (size_t image = 0; image < prepared->images.size(); ++image) {
    for (int piece = 0; piece < prepared->images[image].piece_rows_size(); ++piece, ++next) {
      v1::EmbeddingSpan& span = prepared->spans.emplace_back();
      span.set_begin(prompt.pieces[next].begin);
      span.set_rows(prompt.pieces[next].end - prompt.pieces[next].begin);
      span.set_ref(static_cast<int32_t>(image));
      span.set_piece(piece);
      span.set_columns(columns[next]);
      prepared->usage.set_image_tokens(prepared->usage.image_tokens() + span.rows());
    }
  }
}

// Ids whose logits one choice changes at most.
int64_t ChangedIds(const PreparedRequest& prepared) {
  const v1::TokenSampling& sampling = prepared.sampling;
  int64_t ids = sampling.logit_bias_size();
  if (prepared.min_tokens > 0) ids += static_cast<int64_t>(prepared.stop_ids.size());
  if (sampling.presence_penalty() != 0 || sampling.frequency_penalty() != 0) ids += prepared.max_tokens;
  return ids;
}

absl::StatusOr<int64_t> ResolveMaxTokens(const v1::GenerateRequest& request, int64_t prompt_tokens,
                                         const GatewaySection& config, const ClusterLimits& limits) {
  const int64_t left = limits.max_model_len - prompt_tokens;
  if (!request.has_max_tokens()) return std::min(config.max_tokens_default, left);
  if (request.max_tokens() > left) {
    return OwnRefusal(RefusalReason::kModelLimit,
                      absl::StrCat("the prompt of ", prompt_tokens, " tokens and max_tokens ", request.max_tokens(),
                                   " are more than max_model_len, ", limits.max_model_len, " tokens"),
                      admission::Shortfall{"model_len", "", prompt_tokens + request.max_tokens(), limits.max_model_len,
                                           limits.max_model_len},
                      {}, prompt_tokens);
  }
  return request.max_tokens();
}

}  // namespace

absl::StatusOr<PreparedRequest> Prepare(const v1::GenerateRequest& request, const ServedModel& model,
                                        const GatewaySection& config, const ClusterLimits& limits, Pictures pictures) {
  PreparedRequest prepared;
  HEADROOM_RETURN_IF_ERROR(CheckToolChoice(request, model));
  HEADROOM_RETURN_IF_ERROR(CheckScalars(request));
  HEADROOM_ASSIGN_OR_RETURN(prepared.sampling, ResolveSampling(request.sampling(), model.config));
  HEADROOM_ASSIGN_OR_RETURN(prepared.stop_ids, ResolveStopIds(request, model));
  prepared.choices = std::max(1, request.n());
  prepared.stop_strings.assign(request.stop().begin(), request.stop().end());
  HEADROOM_ASSIGN_OR_RETURN(std::optional<Constraint> constraint, ResolveConstraint(request, model));

  std::optional<int32_t> max_slice_nums;
  if (request.has_max_slice_nums()) max_slice_nums = request.max_slice_nums();
  ImagePricer pricer(max_slice_nums, model, config, limits, pictures);
  HEADROOM_ASSIGN_OR_RETURN(model::Prompt prompt, BuildPrompt(request, model, limits, pricer));
  prepared.images = pricer.images();
  prepared.image_bytes = pricer.image_bytes();
  for (const int32_t id : prompt.ids) HEADROOM_RETURN_IF_ERROR(model.CheckHasRow(id));
  FillSpans(prompt, pricer.columns(), &prepared);
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  HEADROOM_ASSIGN_OR_RETURN(prepared.max_tokens, ResolveMaxTokens(request, prompt_tokens, config, limits));
  HEADROOM_RETURN_IF_ERROR(CheckMinTokens(request, prepared.max_tokens));
  prepared.min_tokens = request.min_tokens();
  prepared.thinks = request.prompt().empty() && EndsInReasoning(model.answer_syntax, *model.tokenizer, prompt.ids);
  prepared.prompt_ids = std::move(prompt.ids);
  if (constraint) {
    prepared.thinks = prepared.thinks && BeginBehindThoughts(model, &*constraint);
    HEADROOM_RETURN_IF_ERROR(CheckRoomForText(*constraint, model, prepared.max_tokens));
    prepared.constraint = std::move(constraint->grammar);
  }

  admission::PriceInput input = pricer.input();
  input.prompt_tokens = prompt_tokens;
  input.max_tokens = prepared.max_tokens;
  input.block_size = limits.block_size;
  input.choices = prepared.choices;
  if (request.has_logprobs()) input.answer_logprobs = 1 + request.logprobs();
  if (request.has_prompt_logprobs()) input.prompt_logprobs = 1 + request.prompt_logprobs();
  input.changed_ids = ChangedIds(prepared);
  if (input.images > 0) input.embedding_row_bytes = limits.embedding_row_bytes;
  HEADROOM_ASSIGN_OR_RETURN(prepared.price, admission::ComputePrice(input));

  prepared.usage.set_prompt_tokens(prompt_tokens);
  prepared.usage.set_images(input.images);
  prepared.usage.set_pieces(input.pieces);
  return prepared;
}

int64_t PrepareBytes(const v1::GenerateRequest& request, const ServedModel& model, const ClusterLimits& limits) {
  auto text_bytes = static_cast<int64_t>(request.prompt().size());
  int64_t entries = request.messages_size() + request.tools_size();
  const auto count = [&text_bytes](const std::string& text) { text_bytes += static_cast<int64_t>(text.size()); };
  for (const v1::Message& message : request.messages()) {
    entries += message.content_size() + message.tool_calls_size();
    for (const v1::ContentPart& part : message.content()) count(part.text());
    for (const v1::ToolCall& call : message.tool_calls()) {
      for (const std::string* text : {&call.id(), &call.name(), &call.arguments_json()}) count(*text);
    }
    for (const std::string* text : {&message.tool_call_id(), &message.name()}) count(*text);
  }
  for (const v1::Tool& tool : request.tools()) {
    for (const std::string* text : {&tool.name(), &tool.description(), &tool.parameters_json()}) count(*text);
  }
  // Longer text is refused unread. The template is rendered, then its text tokenized.
  text_bytes = std::min(text_bytes, model.prompts->TextBytesMax(limits.max_model_len));
  return std::max({model.tokenizer->work_bytes_per_text_byte() * text_bytes,
                   model::ChatTemplate::WorkBytesMax(text_bytes, std::min(entries, model::Conversation::kEntriesMax)),
                   ConstraintBytes(request)});
}

}  // namespace headroom::gateway
