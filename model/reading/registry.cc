#include "model/reading/registry.h"

#include <algorithm>

namespace headroom::model::reading {

FamilyFunction FamilyOf(std::string_view architecture) {
  for (const Family* family : Families()) {
    const auto names = family->architectures();
    if (std::find(names.begin(), names.end(), architecture) != names.end()) return family->read();
  }
  return nullptr;
}

std::vector<std::string> KnownArchitectures() {
  std::vector<std::string> names;
  for (const Family* family : Families()) {
    names.insert(names.end(), family->architectures().begin(), family->architectures().end());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace headroom::model::reading
