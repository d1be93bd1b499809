#include "gateway/own_refusals.h"

#include <charconv>

#include "admission/link/convert.h"

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

absl::Status OwnRefusal(absl::Status status, const std::string& reason, const admission::Shortfall& shortfall,
                        std::optional<std::chrono::milliseconds> retry_delay, int64_t prompt_tokens) {
  rpc::ErrorDetails details{.reason = reason,
                            .metadata = {{kRefusedBy, kGateway},
                                         {"budget", shortfall.budget},
                                         {"needed", absl::StrCat(shortfall.needed)},
                                         {"free", absl::StrCat(shortfall.free)},
                                         {"capacity", absl::StrCat(shortfall.capacity)},
                                         {"shortfall", absl::StrCat(shortfall.needed - shortfall.free)}},
                            .retry_delay = retry_delay};
  if (prompt_tokens > 0) details.metadata["prompt_tokens"] = absl::StrCat(prompt_tokens);
  return rpc::WithDetails(std::move(status), details);
}

void OwnRefusals::Note(const absl::Status& status, const std::string& request_id, TimePoint now) {
  if (status.ok()) return;
  const rpc::ErrorDetails details = rpc::GetDetails(status);
  const auto by = details.metadata.find(kRefusedBy);
  if (by == details.metadata.end() || by->second != kGateway) return;
  admission::RefusalRecord record{.at = now,
                                  .request_id = request_id,
                                  .code = status.code(),
                                  .reason = details.reason,
                                  .message = std::string(status.message().data(), status.message().size()),
                                  .shortfall = admission::Shortfall{.budget = details.metadata.at("budget"),
                                                                    .worker = {},
                                                                    .needed = Number(details.metadata, "needed"),
                                                                    .free = Number(details.metadata, "free"),
                                                                    .capacity = Number(details.metadata, "capacity")},
                                  .retry_delay = details.retry_delay.value_or(std::chrono::milliseconds(0))};
  const admission::Shortfall& shortfall = *record.shortfall;
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
