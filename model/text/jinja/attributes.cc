// value.name, value[key], value[a:b:c].
#include <algorithm>

#include "common/utf8.h"
#include "model/text/jinja/callables.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/text_functions.h"

namespace headroom::model::jinja {
namespace {

absl::StatusOr<Value> Element(Runtime& runtime, const Value& value, int64_t index) {
  if (value.IsText()) {
    const MarkedText& text = value.text();
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(text.size()));
    const auto count = static_cast<int64_t>(CountCharacters(text.bytes()));
    if (index < 0) index += count;
    if (index < 0 || index >= count) return MakeUndefined("the string has no element at this index");
    const size_t begin = CharacterPosition(text.bytes(), static_cast<size_t>(index));
    size_t end = begin;
    NextCodePoint(text.bytes(), &end);
    return runtime.workspace.MakeText(text.Cut(begin, end));
  }
  const std::vector<Value>& items = value.list().items;
  if (index < 0) index += static_cast<int64_t>(items.size());
  if (index < 0 || index >= static_cast<int64_t>(items.size())) {
    return MakeUndefined("the list has no element at this index");
  }
  return items[static_cast<size_t>(index)];
}

bool HasElements(const Value& value) { return value.IsText() || (value.IsList() && value.list().IsSequence()); }

// Indices that begin:end:step picks of `count` elements.
struct Range {
  int64_t begin, end, step;
};

absl::StatusOr<Range> ResolveRange(const Value& begin, const Value& end, const Value& step, int64_t count) {
  Range range{};
  const auto given = [](const Value& part) { return !part.IsNone(); };
  for (const Value* part : {&begin, &end, &step}) {
    if (given(*part) && !part->IsInteger()) {
      return absl::InvalidArgumentError("slice indices must be integers or None, not " + TypeName(*part));
    }
  }
  range.step = given(step) ? step.integer() : 1;
  if (range.step == 0) return absl::InvalidArgumentError("slice step cannot be zero");
  range.step = std::clamp(range.step, -count - 1, count + 1);
  const int64_t low = range.step > 0 ? 0 : -1;
  const int64_t high = range.step > 0 ? count : count - 1;
  const auto resolve = [&](const Value& part, int64_t absent) {
    if (!given(part)) return absent;
    const int64_t index = part.integer();
    return std::clamp(index < 0 ? std::max(index, -count - 1) + count : index, low, high);
  };
  range.begin = resolve(begin, range.step > 0 ? low : high);
  range.end = resolve(end, range.step > 0 ? high : low);
  return range;
}

absl::StatusOr<Value> TextSlice(Runtime& runtime, const MarkedText& text, const Value& begin, const Value& end,
                                const Value& step) {
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(4 * text.size()));
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(text.size() * sizeof(size_t)));
  std::vector<size_t> starts;  // of characters, and the end
  for (size_t position = 0; position < text.size(); NextCodePoint(text.bytes(), &position)) starts.push_back(position);
  const auto count = static_cast<int64_t>(starts.size());
  starts.push_back(text.size());
  HEADROOM_ASSIGN_OR_RETURN(const Range range, ResolveRange(begin, end, step, count));
  MarkedText cut;
  if (range.step == 1) {
    if (range.begin < range.end)
      cut = text.Cut(starts[static_cast<size_t>(range.begin)], starts[static_cast<size_t>(range.end)]);
  } else {
    for (int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end; i += range.step) {
      cut.Append(text, starts[static_cast<size_t>(i)], starts[static_cast<size_t>(i) + 1]);
    }
  }
  return runtime.workspace.MakeText(std::move(cut));
}

}  // namespace

absl::Status UndefinedError(const Undefined& value) {
  return absl::InvalidArgumentError(value.what == nullptr ? "a value is undefined" : *value.what);
}

Value MakeUndefined(std::string what) {
  return Value(Undefined{std::make_shared<const std::string>(CutText(what, 128))});
}

absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& value, const std::string& name) {
  if (value.IsUndefined()) return UndefinedError(value.As<Undefined>());
  if (value.Is<NamespaceRef>()) {
    for (const auto& [key, item] : value.As<NamespaceRef>()->items) {
      if (key == name) return item;
    }
  } else if (value.Is<CallableRef>()) {
    HEADROOM_ASSIGN_OR_RETURN(const Value attribute, GetLoopAttribute(value, name));
    if (!attribute.IsUndefined()) return attribute;
  } else if (HasMethod(value, name)) {
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().Work(1));
    return MakeMethod(value, name);
  } else if (value.IsDict()) {
    if (const Value* found = value.dict().Find(name); found != nullptr) return *found;
  }
  return MakeUndefined("'" + TypeName(value) + " object' has no attribute '" + name + "'");
}

absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& value, const Value& key) {
  if (value.IsUndefined()) return UndefinedError(value.As<Undefined>());
  if (value.IsDict()) {
    if (const Value* found = value.dict().Find(key); found != nullptr) return *found;
  } else if (HasElements(value) && key.IsInteger()) {
    return Element(runtime, value, key.integer());
  }
  if (key.IsText()) return GetAttribute(runtime, value, key.text().bytes());
  return MakeUndefined("'" + TypeName(value) + " object' has no such element");
}

absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& value, const Value& path) {
  if (!path.IsText()) return GetItem(runtime, value, path);
  Value current = value;
  const std::string& bytes = path.text().bytes();
  for (size_t begin = 0; begin <= bytes.size();) {
    const size_t end = std::min(bytes.find('.', begin), bytes.size());
    const std::string part = bytes.substr(begin, end - begin);
    const bool is_index = !part.empty() && part.size() < 10 &&
                          std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_index) {
      HEADROOM_ASSIGN_OR_RETURN(current, GetItem(runtime, current, Value(int64_t{std::stoi(part)})));
    } else {
      HEADROOM_ASSIGN_OR_RETURN(const Value key, runtime.workspace.MakeText(part));
      HEADROOM_ASSIGN_OR_RETURN(current, GetItem(runtime, current, key));
    }
    begin = end + 1;
  }
  return current;
}

absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& value, const Value& begin, const Value& end,
                               const Value& step) {
  if (value.IsUndefined()) return UndefinedError(value.As<Undefined>());
  if (value.IsText()) return TextSlice(runtime, value.text(), begin, end, step);
  if (!HasElements(value)) return absl::InvalidArgumentError("'" + TypeName(value) + "' object has no slices");
  const std::vector<Value>& items = value.list().items;
  HEADROOM_ASSIGN_OR_RETURN(const Range range, ResolveRange(begin, end, step, static_cast<int64_t>(items.size())));
  std::vector<Value> picked;
  for (int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end; i += range.step) {
    picked.push_back(items[static_cast<size_t>(i)]);
  }
  return runtime.workspace.MakeList(std::move(picked), value.list().kind);
}

}  // namespace headroom::model::jinja
