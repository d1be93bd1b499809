#include "admission/resources.h"

#include <algorithm>

#include "common/check.h"
#include "common/range.h"

namespace headroom::admission {

Resources& Resources::operator+=(const Resources& other) {
  for (const Dimension& dimension : kDimensions) {
    int64_t& value = this->*dimension.member;
    HEADROOM_CHECK(!__builtin_add_overflow(value, other.*dimension.member, &value)) << dimension.name;
  }
  return *this;
}

Resources& Resources::operator-=(const Resources& other) {
  for (const Dimension& dimension : kDimensions) {
    int64_t& value = this->*dimension.member;
    HEADROOM_CHECK(!__builtin_sub_overflow(value, other.*dimension.member, &value)) << dimension.name;
  }
  return *this;
}

absl::Status ValidateResources(const Resources& resources) {
  for (const Dimension& dimension : kDimensions) {
    HEADROOM_RETURN_IF_ERROR(CheckRange(dimension.name, resources.*dimension.member, 0, kDimensionMax));
  }
  return absl::OkStatus();
}

bool Fits(const Resources& need, const Resources& room) {
  return std::all_of(kDimensions.begin(), kDimensions.end(), [&](const Dimension& dimension) {
    return need.*dimension.member == 0 || need.*dimension.member <= room.*dimension.member;
  });
}

Resources ClampedAtZero(Resources resources) {
  for (const Dimension& dimension : kDimensions) {
    resources.*dimension.member = std::max<int64_t>(0, resources.*dimension.member);
  }
  return resources;
}

double LoadRatio(const Resources& reserved, const Resources& capacity) {
  double load = 0;
  for (const Dimension& dimension : kDimensions) {
    const int64_t used = reserved.*dimension.member;
    const int64_t total = capacity.*dimension.member;
    if (used <= 0) continue;
    load = std::max(load, total > 0 ? static_cast<double>(used) / static_cast<double>(total) : 1.0);
  }
  return load;
}

std::vector<Shortfall> Shortfalls(const Resources& need, const Resources& room, const Resources& capacity,
                                  const std::string& worker) {
  std::vector<Shortfall> result;
  for (const Dimension& dimension : kDimensions) {
    const int64_t needed = need.*dimension.member;
    const int64_t free = std::max<int64_t>(0, room.*dimension.member);
    if (needed > free) result.push_back({dimension.name, worker, needed, free, capacity.*dimension.member});
  }
  return result;
}

std::optional<Shortfall> WorstShortfall(const Resources& need, const Resources& room, const Resources& capacity,
                                        const std::string& worker) {
  std::optional<Shortfall> worst;
  double worst_part = -1;
  for (Shortfall& shortfall : Shortfalls(need, room, capacity, worker)) {
    const double part = static_cast<double>(shortfall.needed - shortfall.free) /
                        static_cast<double>(std::max<int64_t>(1, shortfall.capacity));
    if (part > worst_part) {
      worst_part = part;
      worst = std::move(shortfall);
    }
  }
  return worst;
}

std::string Describe(const Shortfall& shortfall) {
  return absl::StrCat(shortfall.budget, ": needs ", shortfall.needed, ", free ", shortfall.free, " of ",
                      shortfall.capacity, " (short by ", shortfall.needed - shortfall.free, ")");
}

}  // namespace headroom::admission
