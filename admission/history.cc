#include "admission/history.h"

#include <algorithm>

#include "common/utf8.h"

namespace headroom::admission {
namespace {

// What a map or deque takes for an entry beside the entry itself.
constexpr size_t kEntryOverhead = 64;
constexpr size_t kComponentBytesMax = 64;
// How old a sample may be, beyond a coarse period, to say something about a moment: reports come late at times.
constexpr milliseconds kSampleSlack{2'000};

std::string Cut(const std::string& text) { return CutText(text, kNameBytesMax); }

size_t BytesOf(const WorkerInfo& info) {
  return info.worker.size() + info.endpoint.size() + info.device.size() + info.model.size() +
         info.roles.size() * sizeof(Role);
}

size_t BytesOf(const PastLeg& leg) {
  return sizeof(PastLeg) + 2 * leg.worker.size() + leg.request_id.size() + leg.tenant.size() + kEntryOverhead;
}

bool Same(const WorkerInfo& a, const WorkerInfo& b) {
  return a.worker == b.worker && a.endpoint == b.endpoint && a.device == b.device && a.model == b.model &&
         a.roles == b.roles && a.capacity == b.capacity && a.max_patches_per_step == b.max_patches_per_step &&
         a.max_model_len == b.max_model_len && a.block_size == b.block_size &&
         a.embedding_row_bytes == b.embedding_row_bytes && a.kv_block_bytes == b.kv_block_bytes;
}

}  // namespace

template <typename T>
bool History::Ring<T>::Push(T entry, size_t size) {
  if (size > bytes_max) return false;
  while (bytes + size > bytes_max) PopFront();
  entries.emplace_back(std::move(entry), size);
  bytes += size;
  return true;
}

template <typename T>
void History::Ring<T>::PopFront() {
  bytes -= entries.front().second;
  entries.pop_front();
}

History::History(Options options, TimePoint now) : options_(options), begin_(now) {
  facts_.bytes_max = options_.bytes_max / 8;
  fine_.bytes_max = options_.bytes_max / 4;
  coarse_.bytes_max = options_.bytes_max / 4;
  closed_.bytes_max = options_.bytes_max / 8 * 3;
}

size_t History::bytes() const { return facts_.bytes + fine_.bytes + coarse_.bytes + closed_.bytes + open_bytes_; }

const History::Facts* History::Find(uint64_t id) const {
  if (id < first_facts_ || id - first_facts_ >= facts_.entries.size()) return nullptr;
  return &facts_.entries[id - first_facts_].first;
}

// ---- what happens

void History::Hello(const WorkerInfo& info, uint64_t incarnation) {
  Current& current = current_[info.worker];
  const Facts* known = Find(current.facts);
  if (known != nullptr && known->incarnation == incarnation && Same(known->info, info)) return;
  current = {};
  const size_t before = facts_.entries.size();
  const size_t size = sizeof(Facts) + sizeof(Current) + 2 * BytesOf(info) + kEntryOverhead;
  if (!facts_.Push({info, incarnation}, size)) return;
  // One came; the others that are missing now were the oldest.
  first_facts_ += before + 1 - facts_.entries.size();
  current.facts = first_facts_ + facts_.entries.size() - 1;
}

std::vector<History::Line> History::Interned(const LedgerReport& report) {
  std::vector<Line> lines;
  lines.reserve(std::min(report.lines.size(), kLinesMax));
  for (const LedgerLine& line : report.lines) {
    if (lines.size() == kLinesMax) break;
    const std::string name = CutText(line.component, kComponentBytesMax);
    auto known = std::find(names_.begin(), names_.end(), name);
    if (known == names_.end()) {
      if (names_.size() == kComponentsMax) continue;
      known = names_.insert(names_.end(), name);
    }
    lines.push_back({static_cast<uint8_t>(known - names_.begin()), line.planned, line.reserved, line.used});
  }
  return lines;
}

void History::Report(const WorkerInfo& info, uint64_t incarnation, WorkerState state, const LedgerReport& report,
                     TimePoint now) {
  // Again, because what the hello said may have been pushed out meanwhile.
  Hello(info, incarnation);
  Current& current = current_.at(info.worker);
  if (current.fine_at && now - *current.fine_at < options_.fine) return;
  Entry entry{now, current.facts, state, report.total_bytes, Interned(report)};
  size_t hash = static_cast<size_t>(state);
  auto mix = [&hash](int64_t value) { hash = (hash ^ static_cast<size_t>(value)) * 0x9e3779b97f4a7c15 + (hash >> 29); };
  mix(entry.total_bytes);
  for (const Line& line : entry.lines) {
    for (const int64_t value : {int64_t{line.component}, line.planned, line.reserved, line.used}) mix(value);
  }
  const bool changed = !current.fine_at || hash != current.hash;
  if (!changed && now - *current.fine_at < options_.coarse) return;
  const size_t size = sizeof(Entry) + entry.lines.capacity() * sizeof(Line) + kEntryOverhead;
  current.fine_at = now;
  current.hash = hash;
  if (!current.coarse_at || now - *current.coarse_at >= options_.coarse) {
    current.coarse_at = now;
    coarse_.Push(entry, size);
  }
  fine_.Push(std::move(entry), size);
}

void History::Granted(const Grant& grant, const std::string& request_id, const std::string& tenant, TimePoint now) {
  for (const Leg& leg : grant.legs) {
    Open({.worker = leg.worker,
          .leg = {grant.id, leg.role},
          .request_id = Cut(request_id),
          .tenant = Cut(tenant),
          .resources = leg.resources,
          .granted_at = now,
          .active_at = {},
          .ended_at = {}});
  }
}

void History::Active(const std::string& worker, const LegKey& leg, const Resources& resources, TimePoint now) {
  const auto found = open_.find({worker, leg});
  if (found == open_.end()) {
    Open({.worker = worker,
          .leg = leg,
          .request_id = {},
          .tenant = {},
          .resources = resources,
          .granted_at = now,
          .active_at = now,
          .ended_at = {}});
    return;
  }
  PastLeg& known = found->second.leg;
  known.resources = resources;
  if (!known.active_at) known.active_at = now;
}

void History::Ended(const std::string& worker, const LegKey& leg, TimePoint now) {
  const auto found = open_.find({worker, leg});
  if (found == open_.end()) return;
  OpenLeg open = std::move(found->second);
  open_.erase(found);
  open_bytes_ -= open.bytes;
  open.leg.ended_at = now;
  closed_.Push({std::move(open.leg), open.facts}, open.bytes);
}

void History::Forgotten(const std::string& worker) { current_.erase(worker); }

void History::Open(PastLeg leg) {
  const auto current = current_.find(leg.worker);
  if (current == current_.end()) return;
  const size_t size = BytesOf(leg) + sizeof(OpenLeg) - sizeof(PastLeg);
  while (open_bytes_ + closed_.bytes + size > closed_.bytes_max && !closed_.entries.empty()) closed_.PopFront();
  // More is held at once than there is room for: the rest is not recorded.
  if (open_bytes_ + size > closed_.bytes_max) return;
  OpenKey key{leg.worker, leg.leg};
  const bool added = open_.emplace(std::move(key), OpenLeg{std::move(leg), current->second.facts, size}).second;
  if (added) open_bytes_ += size;
}

// ---- what happened

std::map<std::string, const History::Entry*> History::EntriesAt(TimePoint when, const std::string& worker) const {
  std::map<std::string, const Entry*> result;
  for (const Ring<Entry>* ring : {&fine_, &coarse_}) {
    const auto& entries = ring->entries;
    auto after = std::upper_bound(entries.begin(), entries.end(), when,
                                  [](TimePoint time, const auto& entry) { return time < entry.first.at; });
    while (after != entries.begin()) {
      const Entry& entry = (--after)->first;
      if (when - entry.at > options_.coarse + kSampleSlack) break;
      const Facts* facts = Find(entry.facts);
      if (facts == nullptr || (!worker.empty() && facts->info.worker != worker)) continue;
      const Entry*& newest = result[facts->info.worker];
      if (newest == nullptr || newest->at < entry.at) newest = &entry;
    }
  }
  return result;
}

void History::AddLeg(const PastLeg& leg, uint64_t facts_id, std::map<std::string, PastWorker>& workers) const {
  const auto [found, added] = workers.try_emplace(leg.worker);
  PastWorker& worker = found->second;
  if (added) {
    worker.info.worker = leg.worker;
    if (const Facts* facts = Find(facts_id)) {
      worker.info = facts->info;
      worker.incarnation = facts->incarnation;
    }
  }
  worker.legs.push_back(leg);
}

std::vector<PastWorker> History::At(TimePoint when, const std::string& worker, size_t legs_max) const {
  std::map<std::string, PastWorker> workers;
  for (const auto& [name, entry] : EntriesAt(when, worker)) {
    const Facts& facts = *Find(entry->facts);
    PastWorker& past = workers[name];
    past.info = facts.info;
    past.incarnation = facts.incarnation;
    past.state = entry->state;
    past.sampled_at = entry->at;
    past.ledger.total_bytes = entry->total_bytes;
    for (const Line& line : entry->lines) {
      past.ledger.lines.push_back({names_[line.component], line.planned, line.reserved, line.used});
    }
  }
  const auto ended =
      std::upper_bound(closed_.entries.begin(), closed_.entries.end(), when,
                       [](TimePoint time, const auto& entry) { return time < *entry.first.first.ended_at; });
  for (auto it = ended; it != closed_.entries.end(); ++it) {
    const auto& [leg, facts] = it->first;
    if (leg.granted_at <= when && (worker.empty() || leg.worker == worker)) AddLeg(leg, facts, workers);
  }
  for (const auto& [key, open] : open_) {
    if (open.leg.granted_at > when || (!worker.empty() && key.first != worker)) continue;
    AddLeg(open.leg, open.facts, workers);
  }
  std::vector<PastWorker> result;
  size_t workers_left = workers.size();
  for (auto& [name, past] : workers) {
    const Resources& capacity = past.info.capacity;
    auto share = [&capacity](const PastLeg& leg) { return LoadRatio(leg.resources, capacity); };
    std::stable_sort(past.legs.begin(), past.legs.end(),
                     [&](const PastLeg& a, const PastLeg& b) { return share(a) > share(b); });
    // An equal part each, and what earlier ones did not need.
    const size_t kept = std::min(legs_max / workers_left--, past.legs.size());
    legs_max -= kept;
    for (size_t i = kept; i < past.legs.size(); ++i) past.left_out += past.legs[i].resources;
    past.legs_left_out = static_cast<int64_t>(past.legs.size() - kept);
    past.legs.resize(kept);
    result.push_back(std::move(past));
  }
  return result;
}

std::vector<History::Sample> History::Range(const std::string& worker, TimePoint from, TimePoint to,
                                            size_t points_max) const {
  // The fine ring where it reaches back far enough, else the coarse one.
  const bool fine_covers = fine_.entries.empty() || fine_.entries.front().first.at <= from || coarse_.entries.empty() ||
                           fine_.entries.front().first.at <= coarse_.entries.front().first.at;
  std::vector<Sample> samples;
  for (const auto& [entry, size] : (fine_covers ? fine_ : coarse_).entries) {
    if (entry.at < from || entry.at > to) continue;
    const Facts* facts = Find(entry.facts);
    if (facts == nullptr || facts->info.worker != worker) continue;
    Sample sample{.at = entry.at, .state = entry.state};
    for (const Line& line : entry.lines) {
      sample.reserved += line.reserved;
      sample.used += line.used;
    }
    samples.push_back(sample);
  }
  if (samples.size() <= points_max) return samples;
  std::vector<Sample> thinned;
  thinned.reserve(points_max);
  // The last of each of points_max equal parts, so that the newest is kept.
  for (size_t i = 1; i <= points_max; ++i) thinned.push_back(samples[i * samples.size() / points_max - 1]);
  return thinned;
}

}  // namespace headroom::admission
