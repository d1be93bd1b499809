// Filters of lists and maps: value | name(…).
#include <algorithm>
#include <iterator>
#include <numeric>

#include "common/utf8.h"
#include "model/text/jinja/characters.h"
#include "model/text/jinja/operators.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/text_functions.h"

namespace headroom::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Arguments = CallArguments;

Result MakeIterator(Runtime& runtime, std::vector<Value> items) {
  return runtime.workspace.MakeList(std::move(items), List::Kind::kIterator);
}

// What is looked up in an element: nothing (the element itself), or a path, with what stands for it where it is
// undefined.
Result Lookup(Runtime& runtime, const Value& item, const Value& path, const Value& absent = Value(None{})) {
  if (path.IsUndefined() || path.IsNone()) return item;
  HEADROOM_ASSIGN_OR_RETURN(const Value found, GetPath(runtime, item, path));
  return found.IsUndefined() && !absent.IsNone() ? absent : found;
}

// By what an element is ordered.
Result SortKey(Runtime& runtime, const Value& item, const Value& path, bool case_sensitive) {
  HEADROOM_ASSIGN_OR_RETURN(const Value key, Lookup(runtime, item, path));
  if (case_sensitive || !key.IsText()) return key;
  HEADROOM_ASSIGN_OR_RETURN(MarkedText lower, Map(key.text(), ToLower, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(lower));
}

// `items` by their keys, stable.
absl::StatusOr<std::vector<Value>> Sorted(Runtime& runtime, const std::vector<Value>& items,
                                          const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  absl::Status status;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const absl::StatusOr<int> compared = Compare(keys[a], keys[b], runtime.allowance());
    if (!compared.ok()) status = compared.status();
    return compared.ok() && (reverse ? *compared > 0 : *compared < 0);
  });
  HEADROOM_RETURN_IF_ERROR(status);
  std::vector<Value> sorted;
  for (const size_t position : order) sorted.push_back(items[position]);
  return sorted;
}

Result Sort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given,
                            Bind(arguments, {"reverse", "case_sensitive", "attribute"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  std::vector<MarkedText> paths;
  if (given[2].IsText()) {
    HEADROOM_ASSIGN_OR_RETURN(paths, Split(given[2].text(), ",", -1, Side::kLeft, runtime.allowance()));
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    if (paths.empty()) {
      HEADROOM_ASSIGN_OR_RETURN(keys.emplace_back(), SortKey(runtime, item, given[2], IsTrue(given[1])));
      continue;
    }
    std::vector<Value> parts;
    for (const MarkedText& path : paths) {
      HEADROOM_ASSIGN_OR_RETURN(const Value name, runtime.workspace.MakeText(path));
      HEADROOM_ASSIGN_OR_RETURN(parts.emplace_back(), SortKey(runtime, item, name, IsTrue(given[1])));
    }
    HEADROOM_ASSIGN_OR_RETURN(keys.emplace_back(), runtime.workspace.MakeList(std::move(parts)));
  }
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Value> sorted, Sorted(runtime, items, keys, IsTrue(given[0])));
  return runtime.workspace.MakeList(std::move(sorted));
}

Result DictSort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"case_sensitive", "by", "reverse"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText by, TextOr(given[1], "key", "by"));
  if (!input.IsDict()) return absl::InvalidArgumentError("dictsort takes a dict, not " + TypeName(input));
  if (by.bytes() != "key" && by.bytes() != "value")
    return absl::InvalidArgumentError("dictsort: by must be key or value");
  std::vector<Value> items;
  std::vector<Value> keys;
  for (const auto& [key, value] : input.dict().items) {
    HEADROOM_ASSIGN_OR_RETURN(items.emplace_back(), runtime.workspace.MakeList({key, value}, List::Kind::kTuple));
    const Value& ordered = by.bytes() == "key" ? key : value;
    HEADROOM_ASSIGN_OR_RETURN(keys.emplace_back(), SortKey(runtime, ordered, Value(), IsTrue(given[0])));
  }
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Value> sorted, Sorted(runtime, items, keys, IsTrue(given[2])));
  return runtime.workspace.MakeList(std::move(sorted));
}

Result Unique(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"case_sensitive", "attribute"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  absl::flat_hash_map<std::string, bool> seen;
  std::vector<Value> kept;
  for (const Value& item : items) {
    HEADROOM_ASSIGN_OR_RETURN(const Value key, SortKey(runtime, item, given[1], IsTrue(given[0])));
    HEADROOM_ASSIGN_OR_RETURN(std::string hashed, HashKey(key));
    if (seen.emplace(std::move(hashed), true).second) kept.push_back(item);
  }
  return MakeIterator(runtime, std::move(kept));
}

template <bool kLargest>
Result Extreme(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"case_sensitive", "attribute"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  if (items.empty()) return MakeUndefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key;
  for (size_t i = 0; i < items.size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(const Value key, SortKey(runtime, items[i], given[1], IsTrue(given[0])));
    bool better = i == 0;
    if (!better) {
      HEADROOM_ASSIGN_OR_RETURN(const int order, Compare(key, best_key, runtime.allowance()));
      better = kLargest ? order > 0 : order < 0;
    }
    if (!better) continue;
    best = i;
    best_key = key;
  }
  return items[best];
}

Result Sum(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"attribute", "start"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  Value sum = given[1].IsUndefined() ? Value(int64_t{0}) : given[1];
  for (const Value& item : items) {
    HEADROOM_ASSIGN_OR_RETURN(const Value part, Lookup(runtime, item, given[0]));
    HEADROOM_ASSIGN_OR_RETURN(sum, Calculate(runtime, BinaryOperator::kAdd, sum, part));
  }
  return sum;
}

Result Length(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  if (input.IsUndefined()) return Value(int64_t{0});
  if (input.IsText()) {
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(input.text().size()));
    return Value(static_cast<int64_t>(CountCharacters(input.text().bytes())));
  }
  if (input.IsDict()) return Value(static_cast<int64_t>(input.dict().items.size()));
  if (input.IsList() && input.list().kind != List::Kind::kIterator)
    return Value(static_cast<int64_t>(input.list().items.size()));
  return absl::InvalidArgumentError("object of type '" + TypeName(input) + "' has no len()");
}

Result ListFilter(Runtime& runtime, const Value& input, const Arguments&) {
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Value> items, Elements(input, runtime.workspace));
  return runtime.workspace.MakeList(std::move(items));
}

Result ItemsFilter(Runtime& runtime, const Value& input, const Arguments&) {
  if (input.IsUndefined()) return MakeIterator(runtime, {});
  if (!input.IsDict()) return absl::InvalidArgumentError("Can only get item pairs from a mapping.");
  HEADROOM_ASSIGN_OR_RETURN(const Value items, CallMethod(runtime, input, "items", {}));
  return MakeIterator(runtime, items.list().items);
}

Result First(Runtime& runtime, const Value& input, const Arguments&) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  return items.empty() ? MakeUndefined("No first item, sequence was empty.") : items.front();
}

Result Last(Runtime& runtime, const Value& input, const Arguments&) {
  if (input.IsList() && input.list().kind == List::Kind::kIterator) {
    return absl::InvalidArgumentError("'generator' object is not reversible");
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  return items.empty() ? MakeUndefined("No last item, sequence was empty.") : items.back();
}

Result Reverse(Runtime& runtime, const Value& input, const Arguments&) {
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Value> items, Elements(input, runtime.workspace));
  std::reverse(items.begin(), items.end());
  if (!input.IsText()) return MakeIterator(runtime, std::move(items));
  MarkedText reversed;
  for (const Value& character : items) reversed.Append(character.text());
  return runtime.workspace.MakeText(std::move(reversed));
}

Result Join(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"d", "attribute"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText separator, ToText(given[0], runtime.allowance()));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  MarkedText joined;
  for (size_t i = 0; i < items.size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(const Value part, Lookup(runtime, items[i], given[1]));
    HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(part, runtime.allowance()));
    if (i > 0) joined.Append(separator);
    joined.Append(text);
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(separator.size()));
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(joined.size()));
  }
  return runtime.workspace.MakeText(std::move(joined));
}

Result MapFilter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  std::vector<Value> mapped;
  if (!IsTrue(input)) return MakeIterator(runtime, std::move(mapped));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  if (arguments.positional.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"attribute", "default"}));
    if (given[0].IsUndefined()) return absl::InvalidArgumentError("map requires a filter argument");
    const Value absent = given[1].IsUndefined() ? Value(None{}) : given[1];
    for (const Value& item : items) {
      HEADROOM_ASSIGN_OR_RETURN(mapped.emplace_back(), Lookup(runtime, item, given[0], absent));
    }
    return MakeIterator(runtime, std::move(mapped));
  }
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText name, TextOr(arguments.positional[0], "", "map"));
  const FilterFunction filter = FindFilter(name.bytes());
  if (filter == nullptr) return absl::InvalidArgumentError("No filter named '" + CutText(name.bytes(), 64) + "'");
  const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
  for (const Value& item : items) {
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(1));
    HEADROOM_ASSIGN_OR_RETURN(mapped.emplace_back(), filter(runtime, item, rest));
  }
  return MakeIterator(runtime, std::move(mapped));
}

// select, reject; with an attribute selectattr, rejectattr.
template <bool kAttribute, bool kKeep>
Result Select(Runtime& runtime, const Value& input, const Arguments& arguments) {
  std::vector<Value> kept;
  if (!IsTrue(input)) return MakeIterator(runtime, std::move(kept));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  const size_t skipped = kAttribute ? 1 : 0;
  if (arguments.positional.size() < skipped) return absl::InvalidArgumentError("Missing parameter for attribute name");
  const Value path = kAttribute ? arguments.positional[0] : Value();
  TestFunction test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > skipped) {
    HEADROOM_ASSIGN_OR_RETURN(const MarkedText name, TextOr(arguments.positional[skipped], "", "test"));
    test = FindTest(name.bytes());
    if (test == nullptr) return absl::InvalidArgumentError("No test named '" + CutText(name.bytes(), 64) + "'");
    rest.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(skipped) + 1,
                           arguments.positional.end());
    rest.named = arguments.named;
  }
  for (const Value& item : items) {
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(1));
    HEADROOM_ASSIGN_OR_RETURN(const Value tested, Lookup(runtime, item, path));
    bool holds = false;
    if (test == nullptr) {
      holds = IsTrue(tested);
    } else {
      HEADROOM_ASSIGN_OR_RETURN(holds, test(runtime, tested, rest));
    }
    if (holds == kKeep) kept.push_back(item);
  }
  return MakeIterator(runtime, std::move(kept));
}

Result Batch(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"linecount", "fill_with"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t size, IntegerOr(given[0], 0, "linecount"));
  if (size < 1 || size > 10'000) return absl::InvalidArgumentError("batch: linecount must be in [1, 10000]");
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  std::vector<Value> batches;
  for (size_t begin = 0; begin < items.size(); begin += static_cast<size_t>(size)) {
    const size_t end = std::min(begin + static_cast<size_t>(size), items.size());
    std::vector<Value> batch(items.begin() + static_cast<ptrdiff_t>(begin),
                             items.begin() + static_cast<ptrdiff_t>(end));
    if (!given[1].IsUndefined() && !given[1].IsNone()) batch.resize(static_cast<size_t>(size), given[1]);
    HEADROOM_ASSIGN_OR_RETURN(batches.emplace_back(), runtime.workspace.MakeList(std::move(batch)));
  }
  return MakeIterator(runtime, std::move(batches));
}

Result GroupBy(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given,
                            Bind(arguments, {"attribute", "default", "case_sensitive"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> items, Elements(input, runtime.workspace));
  const Value absent = given[1].IsUndefined() ? Value(None{}) : given[1];
  std::vector<Value> keys;
  for (const Value& item : items) {
    HEADROOM_ASSIGN_OR_RETURN(const Value key, Lookup(runtime, item, given[0], absent));
    HEADROOM_ASSIGN_OR_RETURN(keys.emplace_back(), SortKey(runtime, key, Value(), IsTrue(given[2])));
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> sorted, Sorted(runtime, items, keys, /*reverse=*/false));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> sorted_keys, Sorted(runtime, keys, keys, /*reverse=*/false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < sorted.size();) {
    size_t end = begin + 1;
    for (; end < sorted.size(); ++end) {
      HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(sorted_keys[begin], sorted_keys[end], runtime.allowance()));
      if (!equal) break;
    }
    HEADROOM_ASSIGN_OR_RETURN(const Value key, Lookup(runtime, sorted[begin], given[0], absent));
    HEADROOM_ASSIGN_OR_RETURN(const Value members,
                              runtime.workspace.MakeList({sorted.begin() + static_cast<ptrdiff_t>(begin),
                                                          sorted.begin() + static_cast<ptrdiff_t>(end)}));
    HEADROOM_ASSIGN_OR_RETURN(groups.emplace_back(), runtime.workspace.MakeList({key, members}, List::Kind::kTuple));
    begin = end;
  }
  return runtime.workspace.MakeList(std::move(groups));
}

Result AttributeFilter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"name"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText name, TextOr(given[0], "", "name"));
  if (input.IsDict() && !HasMethod(input, name.bytes())) return MakeUndefined("the map has no attribute of this name");
  return GetAttribute(runtime, input, name.bytes());
}

}  // namespace

FilterFunction FindSequenceFilter(std::string_view name) {
  static constexpr std::pair<std::string_view, FilterFunction> kFilters[] = {{"attr", AttributeFilter},
                                                                             {"batch", Batch},
                                                                             {"count", Length},
                                                                             {"dictsort", DictSort},
                                                                             {"first", First},
                                                                             {"groupby", GroupBy},
                                                                             {"items", ItemsFilter},
                                                                             {"join", Join},
                                                                             {"last", Last},
                                                                             {"length", Length},
                                                                             {"list", ListFilter},
                                                                             {"map", MapFilter},
                                                                             {"max", Extreme<true>},
                                                                             {"min", Extreme<false>},
                                                                             {"reject", Select<false, false>},
                                                                             {"rejectattr", Select<true, false>},
                                                                             {"reverse", Reverse},
                                                                             {"select", Select<false, true>},
                                                                             {"selectattr", Select<true, true>},
                                                                             {"sort", Sort},
                                                                             {"sum", Sum},
                                                                             {"unique", Unique}};
  const auto* const found =
      std::find_if(std::begin(kFilters), std::end(kFilters), [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kFilters) ? nullptr : found->second;
}

}  // namespace headroom::model::jinja
