#include "llm-worker/generate_request.h"

#include <algorithm>
#include <set>
#include <utility>

#include "admission/price.h"
#include "llm-worker/embedding_client.h"
#include "model/structured/token_grammar.h"

namespace headroom::llm_worker {
namespace {

constexpr int kAfterIdsMax = 64;

// What the message says that is not the sequence's own business.
absl::Status CheckEnvelope(const v1::LlmGenerateRequest& request, const LlmService::Options& options) {
  if (request.model().sha256() != options.model)
    return absl::FailedPreconditionError("another model than this worker's");
  if (!request.has_sampling()) return absl::InvalidArgumentError("sampling is missing");
  if (request.refs_size() > 0 && options.embedding.columns == 0) {
    return absl::InvalidArgumentError("the model takes no images");
  }
  return absl::OkStatus();
}

// What needs no work; the schema is read on a thread that may take its time.
absl::Status CheckConstraint(const v1::LlmGenerateRequest& request, const ModelLimits& limits) {
  if (!request.has_constraint()) return absl::OkStatus();
  if (!model::TokenGrammarCompiler::IsAvailable()) {
    return absl::UnimplementedError(
        absl::StrCat("constraint: this build has no grammar library; ", model::TokenGrammarCompiler::HowToGetIt()));
  }
  const v1::Grammar& grammar = request.constraint();
  if (grammar.json_schema().empty() != grammar.json_object()) {
    return absl::InvalidArgumentError("constraint: exactly one of json_schema and json_object");
  }
  if (request.stop_ids_size() == 0) {
    return absl::InvalidArgumentError("constraint: an answer without stop_ids cannot end with its text");
  }
  if (grammar.after_ids_size() > kAfterIdsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("constraint: ", grammar.after_ids_size(), " after_ids, at most ", kAfterIdsMax));
  }
  for (const int32_t id : grammar.after_ids()) {
    if (id < 0 || id >= limits.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("constraint: after id ", id, " is outside the vocabulary of ", limits.vocab_size));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSpans(const v1::LlmGenerateRequest& request, const EmbeddingShape& shape) {
  for (const v1::EmbeddingRef& ref : request.refs()) HEADROOM_RETURN_IF_ERROR(CheckRef(ref, shape));
  std::set<std::pair<int32_t, int64_t>> seen;
  for (const v1::EmbeddingSpan& span : request.spans()) {
    if (!seen.emplace(span.ref(), span.piece()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("piece ", span.piece(), " of image ", span.ref(), " has two spans"));
    }
    if (span.ref() < 0 || span.ref() >= request.refs_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("span of image ", span.ref(), ", there are ", request.refs_size()));
    }
    const auto& piece_rows = request.refs(span.ref()).piece_rows();
    if (span.piece() < 0 || span.piece() >= piece_rows.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("span of piece ", span.piece(), ", the image has ", piece_rows.size()));
    }
    if (const int64_t rows = piece_rows[static_cast<int>(span.piece())]; span.rows() != rows) {
      return absl::InvalidArgumentError(absl::StrCat("span of ", span.rows(), " rows, piece ", span.piece(),
                                                     " of image ", span.ref(), " has ", rows));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMessage(const v1::LlmGenerateRequest& request, const LlmService::Options& options) {
  HEADROOM_RETURN_IF_ERROR(CheckEnvelope(request, options));
  HEADROOM_RETURN_IF_ERROR(CheckSpans(request, options.embedding));
  return CheckConstraint(request, options.limits);
}

absl::Status CheckPrice(const v1::LlmGenerateRequest& request, const admission::Resources& leg,
                        const LlmService::Options& options) {
  const int64_t prompt = request.prompt_ids_size(), n = std::max(request.n(), 1);
  const int64_t blocks = admission::ChoiceBlocks(prompt, request.max_tokens(), n, options.block_size);
  if (leg.kv_blocks < blocks) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grant has ", leg.kv_blocks, " KV blocks, the request needs ", blocks));
  }
  if (leg.slots < n) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grant has ", leg.slots, " slots, the request has ", n, " choices"));
  }
  const int64_t row_bytes = options.embedding.row_bytes();
  if (row_bytes == 0) return absl::OkStatus();
  int64_t left = leg.host_bytes / row_bytes;
  for (const v1::EmbeddingRef& ref : request.refs()) {
    for (const int64_t rows : ref.piece_rows()) {
      if (rows > left) {
        return absl::InvalidArgumentError(absl::StrCat("the grant has ", leg.host_bytes, " host bytes, the rows of ",
                                                       request.refs_size(), " images need more"));
      }
      left -= rows;
    }
  }
  return absl::OkStatus();
}

SequenceRequest ToSequence(const v1::LlmGenerateRequest& request, const ModelLimits& limits) {
  SequenceRequest sequence;
  sequence.prompt_ids.assign(request.prompt_ids().begin(), request.prompt_ids().end());
  sequence.continued_ids.assign(request.continued_ids().begin(), request.continued_ids().end());
  sequence.stop_ids.assign(request.stop_ids().begin(), request.stop_ids().end());
  sequence.max_tokens = request.max_tokens();
  sequence.sampling = {.temperature = request.sampling().temperature(),
                       .top_p = request.sampling().top_p(),
                       .top_k = request.sampling().top_k(),
                       .repetition_penalty = request.sampling().repetition_penalty(),
                       .min_p = request.sampling().min_p(),
                       .seed = request.sampling().seed()};
  sequence.rules = {.presence_penalty = request.sampling().presence_penalty(),
                    .frequency_penalty = request.sampling().frequency_penalty(),
                    .bias = {request.sampling().logit_bias().begin(), request.sampling().logit_bias().end()},
                    .min_tokens = request.min_tokens()};
  sequence.n = request.n() == 0 ? 1 : request.n();
  for (const v1::ContinuedChoice& choice : request.continued()) {
    sequence.continued.push_back({.choice = choice.choice(), .ids = {choice.ids().begin(), choice.ids().end()}});
  }
  if (request.has_logprobs()) sequence.logprobs = request.logprobs();
  if (request.has_prompt_logprobs()) sequence.prompt_logprobs = request.prompt_logprobs();
  for (const v1::EmbeddingSpan& span : request.spans()) {
    sequence.runs.push_back({.begin = span.begin(),
                             .rows = span.rows(),
                             .data = {},
                             .columns = span.columns(),
                             .margin = limits.grid_margin});
  }
  return sequence;
}

}  // namespace headroom::llm_worker
