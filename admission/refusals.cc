#include "admission/refusals.h"

#include <algorithm>
#include <array>

#include "admission/price.h"
#include "common/arith.h"
#include "common/embedding_pages.h"
#include "common/utf8.h"

namespace headroom::admission {
namespace {

constexpr int64_t kPageBytes = 4096;

// Budgets of scheduler and gateways themselves, by the key that sets them.
struct ServiceBudget {
  const char* name;
  const char* key;
  bool bytes;
  const char* note;
};
constexpr std::array<ServiceBudget, 3> kServiceBudgets = {{
    {"queue", "scheduler.queue_entries_max", false, "or queue_bytes_max, whichever is full"},
    {"requests_running", "gateway.requests_running_max", false, ""},
    {"gateway_host_bytes", "gateway.host_bytes_max", true, ""},
}};

// What the leg could have had at its worker, were the price's other leg there, too.
Resources FreeFor(const RefusalRecord& refusal, const RefusedLeg& leg) {
  Resources free = refusal.IsForEver() ? leg.capacity : leg.room;
  for (const RefusedLeg& other : refusal.legs) {
    if (&other != &leg && other.worker == leg.worker) free -= other.need;
  }
  return free;
}

// The price with its numbers of the request changed.
struct Change {
  int64_t max_tokens = 0;
  int64_t images = 0;
  int64_t pieces = 0;
};

class Request {
 public:
  explicit Request(const RefusalRecord& refusal) : refusal_(refusal), price_(refusal.price) {}

  int64_t max_tokens() const { return price_.sequence_tokens - price_.prompt_tokens; }
  int64_t images() const { return price_.vision ? price_.vision->slots : 0; }
  int64_t pieces() const { return price_.pieces; }
  Change Same() const { return {max_tokens(), images(), pieces()}; }

  // Whether the workers of the record could have taken it so. Images and pieces count as having the mean size of this
  // request's.
  bool FitsWith(const Change& change) const {
    for (const RefusedLeg& leg : refusal_.legs) {
      if (!LegFits(leg, change)) return false;
    }
    return true;
  }

 private:
  int64_t Scaled(int64_t value, int64_t part, int64_t whole) const {
    if (whole == 0 || part == whole) return value;
    // In bounds: value ≤ 2^46 and part ≤ 2^17 after the check of the record; beyond, the mean is good enough.
    int64_t product = 0;
    if (__builtin_mul_overflow(value, part, &product)) return CeilDiv(value, whole) * part;
    return CeilDiv(product, whole);
  }

  int64_t Tokens(const Change& change) const {
    return price_.prompt_tokens - price_.image_tokens + Scaled(price_.image_tokens, change.pieces, pieces()) +
           change.max_tokens;
  }

  // Of the rows that the llm-worker fetches; at most what the store has for them.
  int64_t FetchedBytes(const RefusedLeg& leg) const {
    if (!price_.vision) return 0;
    int64_t bytes = 0;
    if (__builtin_mul_overflow(price_.image_tokens, leg.row_bytes, &bytes)) return price_.vision->embedding_bytes;
    return std::min(bytes, price_.vision->embedding_bytes);
  }

  Resources Need(const RefusedLeg& leg, const Change& change) const {
    Resources need = leg.need;
    if (leg.role == Role::kVision) {
      need.slots = change.images;
      need.patches = Scaled(need.patches, change.pieces, pieces());
      need.embedding_bytes = Scaled(need.embedding_bytes, change.pieces, pieces());
      need.host_bytes = Scaled(need.host_bytes, change.images, images());
      return need;
    }
    const int64_t tokens = Tokens(change);
    if (leg.block_size > 0) need.kv_blocks = CeilDiv(tokens, leg.block_size);
    const int64_t embeddings = FetchedBytes(leg);
    need.host_bytes += Scaled(embeddings, change.pieces, pieces()) - embeddings +
                       (tokens - price_.sequence_tokens) * int64_t{sizeof(int32_t)} +
                       (change.max_tokens - max_tokens()) * kTokenEventBytes;
    return need;
  }

  bool LegFits(const RefusedLeg& leg, const Change& change) const {
    if (leg.role == Role::kVision && price_.largest_piece_patches > leg.max_patches_per_step) return false;
    if (leg.role == Role::kLlm && Tokens(change) > leg.max_model_len) return false;
    Resources free = refusal_.IsForEver() ? leg.capacity : leg.room;
    for (const RefusedLeg& other : refusal_.legs) {
      if (&other != &leg && other.worker == leg.worker) free -= Need(other, change);
    }
    return Fits(Need(leg, change), free);
  }

  const RefusalRecord& refusal_;
  const Price& price_;
};

// Largest value in [1, high) that fits, 0 when none does. What fits with more fits with less.
template <typename Predicate>
int64_t LargestBelow(int64_t high, Predicate fits) {
  int64_t good = 0;
  int64_t bad = high;
  while (good + 1 < bad) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

void OfRequest(const RefusalRecord& refusal, std::vector<Remedy>& remedies) {
  const Request request(refusal);
  const bool has_prompt = refusal.price.prompt_tokens > 0 && refusal.price.llm;
  if (has_prompt && request.max_tokens() > 1) {
    const int64_t most = LargestBelow(request.max_tokens(), [&](int64_t tokens) {
      Change change = request.Same();
      change.max_tokens = tokens;
      return request.FitsWith(change);
    });
    if (most > 0) {
      remedies.push_back({"max_tokens", request.max_tokens(), most, false, true,
                          absl::StrCat("the prompt takes ", refusal.price.prompt_tokens, " tokens")});
    }
  }
  if (request.images() > 1) {
    const int64_t most = LargestBelow(request.images(), [&](int64_t images) {
      Change change = request.Same();
      change.images = images;
      change.pieces = std::max(images, request.pieces() * images / request.images());
      return request.FitsWith(change);
    });
    if (most > 0) {
      remedies.push_back({"images", request.images(), most, false, true, "of the mean size of this request's"});
    }
  }
  if (request.pieces() > request.images() && request.images() > 0) {
    const int64_t most = LargestBelow(request.pieces(), [&](int64_t pieces) {
      Change change = request.Same();
      change.pieces = pieces;
      return request.FitsWith(change);
    });
    if (most >= request.images()) {
      remedies.push_back(
          {"pieces", request.pieces(), most, false, true, "a lower max_slice_nums or smaller pictures cut fewer"});
    }
  }
}

// The key of the configuration that raises one budget of a leg by what is short of it.
std::optional<Remedy> OfDimension(const RefusedLeg& leg, const Dimension& dimension, int64_t short_by) {
  const int64_t capacity = leg.capacity.*dimension.member;
  const bool vision = leg.role == Role::kVision;
  const std::string section = vision ? "vision_worker." : "llm_worker.";
  const std::string name = dimension.name;
  if (name == "slots") {
    return Remedy{vision ? "vision_worker.images_in_flight_max" : "knobs.max_num_seqs",
                  capacity,
                  capacity + short_by,
                  false,
                  false,
                  ""};
  }
  if (name == "kv_blocks") {
    if (leg.block_bytes <= 0 || leg.device_bytes <= 0 || short_by > kDimensionMax / leg.block_bytes) return {};
    const int64_t more = RoundUp(short_by * leg.block_bytes, kPageBytes);
    // Several models share a device as cpu/NAME.
    const size_t slash = leg.device.find('/');
    return Remedy{slash == std::string::npos
                      ? "device.memory"
                      : absl::StrCat("device.memory, or of it models.", leg.device.substr(slash + 1), ".share"),
                  leg.device_bytes,
                  leg.device_bytes + more,
                  true,
                  false,
                  "all of the difference goes to the KV pool"};
  }
  if (name == "patches") {
    return Remedy{"vision_worker.patches_in_flight_max", capacity, capacity + short_by, false, false, ""};
  }
  if (name == "embedding_bytes") {
    if (leg.row_bytes <= 0 || leg.row_bytes > kDimensionMax / kEmbeddingPageRows) return {};
    const int64_t page_bytes = kEmbeddingPageRows * leg.row_bytes;
    return Remedy{
        "knobs.embedding_store_pages",
        capacity / page_bytes,
        CeilDiv(capacity + short_by, page_bytes),
        false,
        false,
        absl::StrCat("pages of ", kEmbeddingPageRows, " rows, ", page_bytes, " bytes from the device's memory")};
  }
  return Remedy{section + "host_bytes_max", capacity, capacity + short_by, true, false, ""};
}

void OfConfiguration(const RefusalRecord& refusal, std::vector<Remedy>& remedies) {
  std::vector<Remedy> found;
  int64_t lacking = 0;
  for (const RefusedLeg& leg : refusal.legs) {
    const Resources free = FreeFor(refusal, leg);
    for (const Dimension& dimension : kDimensions) {
      const int64_t short_by = leg.need.*dimension.member - free.*dimension.member;
      if (short_by <= 0) continue;
      ++lacking;
      if (auto remedy = OfDimension(leg, dimension, short_by)) found.push_back(std::move(*remedy));
    }
    if (leg.role == Role::kLlm && refusal.price.sequence_tokens > leg.max_model_len) {
      ++lacking;
      found.push_back({"knobs.max_model_len", leg.max_model_len, refusal.price.sequence_tokens, false, false,
                       "as far as the model's own limit allows"});
    }
    if (leg.role == Role::kVision && refusal.price.largest_piece_patches > leg.max_patches_per_step) {
      ++lacking;
      found.push_back({"knobs.max_patches_per_step", leg.max_patches_per_step, refusal.price.largest_piece_patches,
                       false, false, ""});
    }
  }
  // One key alone helps only where one budget alone is short.
  if (lacking > 1) {
    for (Remedy& remedy : found)
      remedy.note += remedy.note.empty() ? "together with the others" : "; together with the others";
  }
  for (Remedy& remedy : found) remedies.push_back(std::move(remedy));
}

}  // namespace

const RefusedLeg* RefusalRecord::ShortLeg() const {
  if (!shortfall) return nullptr;
  const RefusedLeg* short_leg = nullptr;
  for (const RefusedLeg& leg : legs) {
    for (const Dimension& dimension : kDimensions) {
      const bool named = shortfall->budget == dimension.name && shortfall->worker == leg.worker;
      // With both roles on one worker the leg that needs the budget, or more of it.
      if (named && (short_leg == nullptr || leg.need.*dimension.member > short_leg->need.*dimension.member)) {
        short_leg = &leg;
      }
    }
  }
  return short_leg;
}

int64_t RefusalRecord::UnitBytes() const {
  if (!shortfall) return 0;
  if (shortfall->budget.ends_with("_bytes")) return 1;
  const RefusedLeg* leg = ShortLeg();
  return shortfall->budget == "kv_blocks" && leg != nullptr ? leg->block_bytes : 0;
}

std::vector<Remedy> Remedies(const RefusalRecord& refusal) {
  std::vector<Remedy> remedies;
  if (!refusal.shortfall) return remedies;
  const Shortfall& shortfall = *refusal.shortfall;
  for (const ServiceBudget& budget : kServiceBudgets) {
    if (shortfall.budget != budget.name) continue;
    remedies.push_back({budget.key, shortfall.capacity, shortfall.capacity + shortfall.needed - shortfall.free,
                        budget.bytes, false, budget.note});
    return remedies;
  }
  OfRequest(refusal, remedies);
  OfConfiguration(refusal, remedies);
  return remedies;
}

void RefusalLog::Add(RefusalRecord record) {
  for (std::string* text : {&record.request_id, &record.tenant, &record.model, &record.message}) {
    *text = CutText(*text, kTextBytesMax);
  }
  size_t bytes = sizeof(std::pair<RefusalRecord, size_t>) + record.request_id.size() + record.tenant.size() +
                 record.model.size() + record.message.size();
  for (const RefusedLeg& leg : record.legs) bytes += sizeof(RefusedLeg) + leg.worker.size() + leg.device.size();
  if (record.shortfall) bytes += record.shortfall->budget.size() + record.shortfall->worker.size();
  if (bytes > bytes_max_) return;
  bytes_ += bytes;
  records_.emplace_back(std::move(record), bytes);
  while (bytes_ > bytes_max_) {
    bytes_ -= records_.front().second;
    records_.pop_front();
  }
}

std::vector<RefusalRecord> RefusalLog::Last(const std::string& request_id, size_t count) const {
  std::vector<RefusalRecord> result;
  for (auto it = records_.rbegin(); it != records_.rend() && result.size() < count; ++it) {
    if (request_id.empty() || it->first.request_id == request_id) result.push_back(it->first);
  }
  return result;
}

}  // namespace headroom::admission
