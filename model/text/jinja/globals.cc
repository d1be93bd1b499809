// The functions that every template can call.
#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>

#include "common/utf8.h"
#include "model/text/jinja/runtime.h"

namespace headroom::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr int64_t kRangeMax = 100'000;  // Jinja's

Result RangeFunction(Runtime& runtime, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"start", "stop", "step"}));
  for (const Value& bound : arguments.positional) {
    if (!bound.IsInteger()) return absl::InvalidArgumentError("range takes int, not " + TypeName(bound));
  }
  if (arguments.positional.empty()) return absl::InvalidArgumentError("range needs an argument");
  const bool one = given[1].IsUndefined();
  const int64_t start = one ? 0 : given[0].integer();
  const int64_t stop = one ? given[0].integer() : given[1].integer();
  const int64_t step = given[2].IsUndefined() ? 1 : given[2].integer();
  if (step == 0) return absl::InvalidArgumentError("range() arg 3 must not be zero");
  std::vector<Value> numbers;
  for (__int128 number = start; step > 0 ? number < stop : number > stop; number += step) {
    if (numbers.size() >= kRangeMax) return absl::InvalidArgumentError(absl::StrCat("range of more than ", kRangeMax));
    numbers.emplace_back(static_cast<int64_t>(number));
  }
  return runtime.workspace.MakeList(std::move(numbers));
}

Result NamespaceFunction(Runtime& runtime, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const NamespaceRef names, runtime.workspace.MakeNamespace());
  for (const Value& given : arguments.positional) {
    if (!given.IsDict()) return absl::InvalidArgumentError("namespace takes a dict, not " + TypeName(given));
    for (const auto& [key, value] : given.dict().items) {
      if (key.IsText()) names->items.emplace_back(key.text().bytes(), value);
    }
  }
  names->items.insert(names->items.end(), arguments.named.begin(), arguments.named.end());
  return Value(names);
}

Result DictFunction(Runtime& runtime, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const DictRef dict, runtime.workspace.MakeDict());
  for (const Value& given : arguments.positional) {
    if (!given.IsDict()) return absl::InvalidArgumentError("dict takes a dict, not " + TypeName(given));
    for (const auto& [key, value] : given.dict().items)
      HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(*dict, key, value));
  }
  for (const auto& [name, value] : arguments.named) HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(*dict, name, value));
  return Value(dict);
}

Result RaiseException(Runtime& runtime, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"message"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText message, ToText(given[0], runtime.allowance()));
  return absl::InvalidArgumentError("the template refuses this conversation: " + CutText(message.bytes(), 400));
}

Result StrftimeNow(Runtime& runtime, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"format"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText format, TextOr(given[0], "", "format"));
  constexpr size_t kFormatBytesMax = 256;
  if (format.size() > kFormatBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("strftime_now: a format above ", kFormatBytesMax, " bytes"));
  }
  const std::time_t now = runtime.now_seconds;
  std::tm local{};
  localtime_r(&now, &local);
  // A field may be given a width; what comes out longer than this is empty.
  std::array<char, 8192> buffer{};
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.bytes().c_str(), &local);
  return runtime.workspace.MakeText(std::string(buffer.data(), size));
}

}  // namespace

GlobalFunction FindGlobal(std::string_view name) {
  static constexpr std::pair<std::string_view, GlobalFunction> kFunctions[] = {{"range", RangeFunction},
                                                                               {"namespace", NamespaceFunction},
                                                                               {"dict", DictFunction},
                                                                               {"raise_exception", RaiseException},
                                                                               {"strftime_now", StrftimeNow}};
  const auto* const found = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                         [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kFunctions) ? nullptr : found->second;
}

}  // namespace headroom::model::jinja
