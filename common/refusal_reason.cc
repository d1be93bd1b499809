#include "common/refusal_reason.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/check.h"

namespace headroom {
namespace {

std::vector<std::string> Split(const char* list) {
  if (*list == '\0') return {};
  return absl::StrSplit(list, '|');
}

std::vector<RefusalReasonInfo> Build() {
  using enum RefusalReason;
  using enum absl::StatusCode;
  return {
      {kInvalidReserve, "INVALID_RESERVE", kInvalidArgument, false, "scheduler", "",
       "The Reserve that the gateway sent is malformed or out of bounds, or its grant's id is in use."},
      {kModelLimit, "MODEL_LIMIT", kInvalidArgument, false, "gateway|scheduler", "model_len|max_patches_per_step",
       "Prompt and max_tokens are above max_model_len, or a piece of an image is above max_patches_per_step."},
      {kNeverFits, "NEVER_FITS", kFailedPrecondition, false, "gateway|scheduler",
       "slots|kv_blocks|patches|embedding_bytes|host_bytes|gateway_host_bytes",
       "Larger than any worker that serves the model, or than the gateway's host memory, even when all of it is free."},
      {kModelNotFound, "MODEL_NOT_FOUND", kNotFound, false, "gateway", "",
       "The gateway serves no model of the name that the request gives; the message names those that it serves."},
      {kModelNotLoaded, "MODEL_NOT_LOADED", kUnavailable, true, "gateway", "",
       "The gateway could not read the files of the model (tokenizer, chat template, config); its log says why."},
      {kNoWorker, "NO_WORKER", kUnavailable, true, "gateway|scheduler", "",
       "No worker of a role that the request needs serves the model now. Other models are served as before."},
      {kNoScheduler, "NO_SCHEDULER", kUnavailable, true, "gateway", "",
       "The gateway could not reach the scheduler for as long as the request may wait."},
      {kDraining, "DRAINING", kUnavailable, true, "gateway|scheduler", "",
       "The gateway, the scheduler or every worker of a role is about to stop and takes nothing new."},
      {kQueueFull, "QUEUE_FULL", kResourceExhausted, true, "scheduler", "queue",
       "As many requests, or as many bytes of them, wait as the scheduler's queue takes, or as the model's share of "
       "it: models that have a worker share it evenly."},
      {kWaitTooLong, "WAIT_TOO_LONG", kDeadlineExceeded, true, "scheduler",
       "slots|kv_blocks|patches|embedding_bytes|host_bytes",
       "No room came free within the time that the request may wait."},
      {kVoided, "VOIDED", kCancelled, false, "scheduler", "",
       "Its caller gave the reservation back before it was granted."},
      {kGatewayFull, "GATEWAY_FULL", kResourceExhausted, true, "gateway", "requests_running|gateway_host_bytes",
       "The gateway runs as many requests as it may, or its host memory for them is taken."},
      {kNotReady, "NOT_READY", kUnavailable, true, "worker", "", "The worker loads or drains."},
      {kNoRoom, "NO_ROOM", kUnavailable, true, "worker", "",
       "The worker has no room for a grant that the scheduler made, or too much waits there already."},
      {kGrantNotValid, "GRANT_NOT_VALID", kUnavailable, true, "worker", "",
       "The grant is of another epoch or incarnation, or has expired."},
      {kEmbeddingsNotAvailable, "EMBEDDINGS_NOT_AVAILABLE", kUnavailable, true, "worker", "",
       "The llm-worker could not get the embeddings of the images from the vision-worker."},
  };
}

std::string Cell(const std::vector<std::string>& values) { return values.empty() ? "-" : absl::StrJoin(values, ", "); }

}  // namespace

bool RefusalReasonInfo::IsOf(std::string_view service) const {
  const std::vector<std::string> services = Split(refused_by);
  return std::find(services.begin(), services.end(), service) != services.end();
}

std::vector<std::string> RefusalReasonInfo::Budgets() const { return Split(budgets); }

const std::vector<RefusalReasonInfo>& RefusalReasons() {
  static const std::vector<RefusalReasonInfo> reasons = Build();
  return reasons;
}

const RefusalReasonInfo& InfoOf(RefusalReason reason) {
  const auto index = static_cast<size_t>(reason);
  HEADROOM_CHECK(index < RefusalReasons().size()) << "no refusal reason has the number " << index;
  return RefusalReasons()[index];
}

std::optional<RefusalReason> FindRefusalReason(std::string_view name) {
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    if (name == info.name) return info.reason;
  }
  return std::nullopt;
}

std::string RefusalReference() {
  std::string page =
      "# Refusals\n\n"
      "Written by `headroom reasons`; a test compares. A request that is refused holds nothing, and has one of these "
      "reasons. It is the `reason` of the error's `google.rpc.ErrorInfo` (domain `headroom`), of `headroom explain "
      "refusal`, and of the labels `outcome` and `reason` of the metrics: always by this name. The list may grow; a "
      "name that a client does not know is handled by its code. The metadata of the ErrorInfo name the budget and say "
      "`needed`, `free`, `capacity` and `shortfall`; `RetryInfo` says when to try again.\n\n"
      "Retry *no*: the same request will be refused again; it must change, or the cluster. Retry *yes*: it may go "
      "through later, and nothing has been done that a second try would repeat. A worker's refusal makes the gateway "
      "ask for another grant; a client sees it when that did not help three times.\n\n"
      "| reason | code | retry | refused by | short of | meaning |\n| --- | --- | --- | --- | --- | --- |\n";
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    absl::StrAppend(&page, "| `", info.name, "` | ", absl::StatusCodeToString(info.code), " | ",
                    info.retry ? "yes" : "no", " | ", Cell(Split(info.refused_by)), " | ", Cell(info.Budgets()), " | ",
                    info.meaning, " |\n");
  }
  return page;
}

}  // namespace headroom
