#include "gateway/own_refusals.h"

#include <charconv>

#include "admission/link/convert.h"
#include "common/error_details.h"

namespace headroom::gateway {
namespace {

constexpr char kRefusedBy[] = "refused_by";
constexpr char kGateway[] = "gateway";

int64_t Number(const std::map<std::string, std::string>& metadata, const char* key) {
  int64_t number = 0;
  if (const auto found = metadata.find(key); found != metadata.end()) {
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), number);
  }
  return number;
}

}  // namespace

absl::Status OwnRefusal(RefusalReason reason, const std::string& message,
                        const std::optional<admission::Shortfall>& shortfall,
                        std::optional<std::chrono::milliseconds> retry_delay, int64_t prompt_tokens) {
  std::map<std::string, std::string> metadata = {{kRefusedBy, kGateway}};
  if (shortfall) {
    metadata.insert({{"budget", shortfall->budget},
                     {"needed", absl::StrCat(shortfall->needed)},
                     {"free", absl::StrCat(shortfall->free)},
                     {"capacity", absl::StrCat(shortfall->capacity)},
                     {"shortfall", absl::StrCat(shortfall->needed - shortfall->free)}});
  }
  if (prompt_tokens > 0) metadata["prompt_tokens"] = absl::StrCat(prompt_tokens);
  return RefusalError(reason, message, metadata, retry_delay);
}

void OwnRefusals::Note(const absl::Status& status, const std::string& request_id, TimePoint now) {
  if (status.ok()) return;
  const ErrorDetails details = GetDetails(status);
  const auto by = details.metadata.find(kRefusedBy);
  const std::optional<RefusalReason> reason = ReasonOf(status);
  if (!reason || by == details.metadata.end() || by->second != kGateway) return;
  admission::RefusalRecord record{.at = now,
                                  .request_id = request_id,
                                  .reason = *reason,
                                  .message = std::string(status.message().data(), status.message().size()),
                                  .retry_delay = details.retry_delay.value_or(std::chrono::milliseconds(0))};
  if (const auto budget = details.metadata.find("budget"); budget != details.metadata.end()) {
    record.shortfall = admission::Shortfall{.budget = budget->second,
                                            .worker = {},
                                            .needed = Number(details.metadata, "needed"),
                                            .free = Number(details.metadata, "free"),
                                            .capacity = Number(details.metadata, "capacity")};
  }
  const admission::Shortfall shortfall = record.shortfall.value_or(admission::Shortfall());
  if (shortfall.budget == "model_len") {
    record.price.sequence_tokens = shortfall.needed;
    record.price.prompt_tokens = Number(details.metadata, "prompt_tokens");
    record.price.llm = admission::Resources{};
    record.legs.push_back({.role = admission::Role::kLlm, .max_model_len = shortfall.capacity});
  } else if (shortfall.budget == "max_patches_per_step") {
    record.price.largest_piece_patches = shortfall.needed;
    record.price.vision = admission::Resources{};
    record.legs.push_back({.role = admission::Role::kVision, .max_patches_per_step = shortfall.capacity});
  }
  std::lock_guard lock(mutex_);
  log_.Add(std::move(record));
}

std::vector<v1::RefusalView> OwnRefusals::Last(const std::string& request_id, size_t count, TimePoint now) const {
  std::vector<admission::RefusalRecord> records;
  {
    std::lock_guard lock(mutex_);
    records = log_.Last(request_id, count);
  }
  std::vector<v1::RefusalView> views;
  views.reserve(records.size());
  for (const admission::RefusalRecord& record : records) views.push_back(admission::ToProto(record, now, kGateway));
  return views;
}

}  // namespace headroom::gateway
