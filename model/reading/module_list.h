// Names of modules as a quantization_config lists them.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace headroom::model::reading {

// Whether entries mean a module ("model.layers.0.self_attn.q_proj"):
//   "Linear"      every module that this is asked of is one
//   "re:PATTERN"  it matches from the name's beginning (Python's re.match; compressed-tensors)
//   else          its name, or components of it that follow one another ("self_attn", "mlp.down_proj")
// Const methods may be called from several threads at once.
class ModuleList {
 public:
  ModuleList();
  ModuleList(ModuleList&&) noexcept;
  ModuleList& operator=(ModuleList&&) noexcept;
  ~ModuleList();

  // What could not be read, one of: a pattern that does not compile or is longer than 1,000 bytes, or more than 64
  // patterns. Empty: all was taken.
  std::string Add(const std::string& entry);
  bool Names(const std::string& module) const;

 private:
  class Pattern;

  bool all_ = false;
  std::set<std::string> names_;
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

}  // namespace headroom::model::reading
