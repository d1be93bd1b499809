// Methods of lists and maps, and how a method is called.
#include <algorithm>
#include <iterator>

#include "model/text/jinja/callables.h"
#include "model/text/jinja/runtime.h"

namespace headroom::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Method = Result (*)(Runtime&, const Value& self, const CallArguments& arguments);
using Entry = std::pair<std::string_view, Method>;

Result Keys(Runtime& runtime, const Value& self, const CallArguments&) {
  std::vector<Value> keys;
  for (const auto& [key, value] : self.dict().items) keys.push_back(key);
  return runtime.workspace.MakeList(std::move(keys), List::Kind::kKeys);
}

Result Values(Runtime& runtime, const Value& self, const CallArguments&) {
  std::vector<Value> values;
  for (const auto& [key, value] : self.dict().items) values.push_back(value);
  return runtime.workspace.MakeList(std::move(values), List::Kind::kValues);
}

Result Items(Runtime& runtime, const Value& self, const CallArguments&) {
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().items) {
    HEADROOM_ASSIGN_OR_RETURN(items.emplace_back(), runtime.workspace.MakeList({key, value}, List::Kind::kTuple));
  }
  return runtime.workspace.MakeList(std::move(items), List::Kind::kItems);
}

Result Get(Runtime&, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"key", "default"}));
  HEADROOM_RETURN_IF_ERROR(HashKey(given[0]).status());
  if (const Value* found = self.dict().Find(given[0]); found != nullptr) return *found;
  return arguments.positional.size() > 1 ? given[1] : Value(None{});
}

// Takes entry `position` out.
void Erase(Dict& dict, size_t position) {
  dict.items.erase(dict.items.begin() + static_cast<ptrdiff_t>(position));
  for (auto entry = dict.positions.begin(); entry != dict.positions.end();) {
    const auto current = entry++;
    if (current->second == position) {
      dict.positions.erase(current);
    } else if (current->second > position) {
      --current->second;
    }
  }
}

Result PopKey(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"key", "default"}));
  Dict& dict = *self.As<DictRef>();
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(dict.items.size()));
  HEADROOM_ASSIGN_OR_RETURN(const std::string key, HashKey(given[0]));
  const auto found = dict.positions.find(key);
  if (found == dict.positions.end()) {
    if (arguments.positional.size() > 1) return given[1];
    return absl::InvalidArgumentError("pop: the map has no such key");
  }
  const Value value = dict.items[found->second].second;
  Erase(dict, found->second);
  return value;
}

Result Update(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  runtime.workspace.Remember(self.As<DictRef>());
  Dict& dict = *self.As<DictRef>();
  for (const Value& other : arguments.positional) {
    if (!other.IsDict()) return absl::InvalidArgumentError("update takes a dict, not " + TypeName(other));
    const std::vector<std::pair<Value, Value>> items = other.dict().items;
    for (const auto& [key, value] : items) HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(dict, key, value));
  }
  for (const auto& [key, value] : arguments.named) HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(dict, key, value));
  return Value(None{});
}

Result SetDefault(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"key", "default"}));
  if (const Value* found = self.dict().Find(given[0]); found != nullptr) return *found;
  const Value value = arguments.positional.size() > 1 ? given[1] : Value(None{});
  runtime.workspace.Remember(self.As<DictRef>());
  HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(*self.As<DictRef>(), given[0], value));
  return value;
}

Result CopyDict(Runtime& runtime, const Value& self, const CallArguments&) {
  HEADROOM_ASSIGN_OR_RETURN(const DictRef copy, runtime.workspace.MakeDict());
  for (const auto& [key, value] : self.dict().items) HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(*copy, key, value));
  return Value(copy);
}

Result Append(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"object"}));
  runtime.workspace.Remember(self.As<ListRef>());
  HEADROOM_RETURN_IF_ERROR(runtime.workspace.Append(*self.As<ListRef>(), given[0]));
  return Value(None{});
}

Result Extend(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"iterable"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(given[0], runtime.workspace));
  runtime.workspace.Remember(self.As<ListRef>());
  for (const Value& item : items) HEADROOM_RETURN_IF_ERROR(runtime.workspace.Append(*self.As<ListRef>(), item));
  return Value(None{});
}

// Where `index`, which may count from the end, lies among `size` elements; -1 outside.
int64_t Resolve(int64_t index, size_t size) {
  const auto count = static_cast<int64_t>(size);
  if (index < 0) index += count;
  return index < 0 || index >= count ? -1 : index;
}

Result Insert(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"index", "object"}));
  HEADROOM_ASSIGN_OR_RETURN(int64_t index, IntegerOr(given[0], 0, "index"));
  runtime.workspace.Remember(self.As<ListRef>());
  List& list = *self.As<ListRef>();
  const auto count = static_cast<int64_t>(list.items.size());
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(list.items.size()));
  HEADROOM_RETURN_IF_ERROR(runtime.workspace.Append(list, given[1]));
  index = std::clamp<int64_t>(index < 0 ? index + count : index, 0, count);
  std::rotate(list.items.begin() + index, list.items.end() - 1, list.items.end());
  return Value(None{});
}

Result PopElement(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"index"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t index, IntegerOr(given[0], -1, "index"));
  List& list = *self.As<ListRef>();
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(list.items.size()));
  const int64_t at = Resolve(index, list.items.size());
  if (at < 0) return absl::InvalidArgumentError("pop: the list has no such element");
  Value value = list.items[static_cast<size_t>(at)];
  list.items.erase(list.items.begin() + at);
  return value;
}

Result Reverse(Runtime& runtime, const Value& self, const CallArguments&) {
  List& list = *self.As<ListRef>();
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(list.items.size()));
  std::reverse(list.items.begin(), list.items.end());
  return Value(None{});
}

Result CopyList(Runtime& runtime, const Value& self, const CallArguments&) {
  return runtime.workspace.MakeList(self.list().items);
}

Result IndexOf(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"value"}));
  const std::vector<Value>& items = self.list().items;
  for (size_t i = 0; i < items.size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(items[i], given[0], runtime.allowance()));
    if (equal) return Value(static_cast<int64_t>(i));
  }
  return absl::InvalidArgumentError("index: the value is not in the list");
}

Result Count(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"value"}));
  int64_t count = 0;
  for (const Value& item : self.list().items) {
    HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(item, given[0], runtime.allowance()));
    count += equal ? 1 : 0;
  }
  return Value(count);
}

Method FindContainerMethod(const Value& self, std::string_view name) {
  static constexpr Entry kOfDicts[] = {{"keys", Keys},     {"values", Values},        {"items", Items},
                                       {"get", Get},       {"pop", PopKey},           {"update", Update},
                                       {"copy", CopyDict}, {"setdefault", SetDefault}};
  // The first two are those of tuples, too.
  static constexpr Entry kOfLists[] = {{"index", IndexOf},   {"count", Count},   {"append", Append},
                                       {"extend", Extend},   {"insert", Insert}, {"pop", PopElement},
                                       {"reverse", Reverse}, {"copy", CopyList}};
  const auto find = [&](const Entry* begin, const Entry* end) {
    const Entry* const found = std::find_if(begin, end, [&](const Entry& entry) { return entry.first == name; });
    return found == end ? nullptr : found->second;
  };
  if (self.IsDict()) return find(std::begin(kOfDicts), std::end(kOfDicts));
  if (!self.IsList() || !self.list().IsSequence()) return nullptr;
  return find(std::begin(kOfLists), self.list().kind == List::Kind::kTuple ? kOfLists + 2 : std::end(kOfLists));
}

}  // namespace

bool HasMethod(const Value& self, std::string_view name) {
  return self.IsText() ? FindTextMethod(name) != nullptr : FindContainerMethod(self, name) != nullptr;
}

absl::StatusOr<Value> CallMethod(Runtime& runtime, const Value& self, std::string_view name,
                                 const CallArguments& arguments) {
  if (self.Is<CallableRef>()) {
    const auto* const loop = dynamic_cast<const LoopValue*>(self.As<CallableRef>().get());
    if (loop != nullptr) return CallLoopMethod(runtime, *loop, std::string(name), arguments);
  }
  if (self.IsText()) {
    if (const TextMethod method = FindTextMethod(name); method != nullptr)
      return method(runtime, self.text(), arguments);
  } else if (const Method method = FindContainerMethod(self, name); method != nullptr) {
    return method(runtime, self, arguments);
  }
  return absl::InvalidArgumentError("'" + TypeName(self) + " object' has no method '" + std::string(name) + "'");
}

}  // namespace headroom::model::jinja
