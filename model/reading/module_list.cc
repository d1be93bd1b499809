#include "model/reading/module_list.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace headroom::model::reading {
namespace {

constexpr size_t kPatternBytesMax = 1000;
constexpr size_t kPatternsMax = 64;
// Of PCRE2's steps back in one name; patterns in use take a few dozen. One that takes more does not match.
constexpr uint32_t kMatchLimit = 10'000;
constexpr std::string_view kPatternMark = "re:";

}  // namespace

class ModuleList::Pattern {
 public:
  explicit Pattern(std::string_view text) {
    PCRE2_SIZE place = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                          PCRE2_ANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error_, &place, nullptr);
  }
  ~Pattern() { pcre2_code_free(code_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  bool compiled() const { return code_ != nullptr; }

  bool Matches(const std::string& name) const {
    const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(pcre2_match_data_create(1, nullptr),
                                                                               pcre2_match_data_free);
    const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context(
        pcre2_match_context_create(nullptr), pcre2_match_context_free);
    pcre2_set_match_limit(context.get(), kMatchLimit);
    // A result of 0 says that the pattern has more groups than were asked for.
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0, match.get(),
                       context.get()) >= 0;
  }

 private:
  int error_ = 0;
  pcre2_code* code_ = nullptr;
};

ModuleList::ModuleList() = default;
ModuleList::ModuleList(ModuleList&&) noexcept = default;
ModuleList& ModuleList::operator=(ModuleList&&) noexcept = default;
ModuleList::~ModuleList() = default;

std::string ModuleList::Add(const std::string& entry) {
  if (entry == "Linear") {
    all_ = true;
    return "";
  }
  if (!entry.starts_with(kPatternMark)) {
    names_.insert(entry);
    return "";
  }
  const std::string_view text = std::string_view(entry).substr(kPatternMark.size());
  if (text.size() > kPatternBytesMax) return absl::StrCat("a pattern of ", text.size(), " bytes");
  if (patterns_.size() == kPatternsMax) return absl::StrCat("more than ", kPatternsMax, " patterns");
  auto pattern = std::make_unique<Pattern>(text);
  if (!pattern->compiled()) return absl::StrCat("the pattern ", std::string(text));
  patterns_.push_back(std::move(pattern));
  return "";
}

bool ModuleList::Names(const std::string& module) const {
  if (all_) return true;
  // Every run of components.
  for (size_t begin = 0; begin != std::string::npos && !names_.empty();) {
    for (size_t end = module.find('.', begin);; end = module.find('.', end + 1)) {
      if (names_.contains(module.substr(begin, end == std::string::npos ? end : end - begin))) return true;
      if (end == std::string::npos) break;
    }
    begin = module.find('.', begin);
    if (begin != std::string::npos) ++begin;
  }
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const auto& pattern) { return pattern->Matches(module); });
}

}  // namespace headroom::model::reading
