#include "model/text/jinja/value.h"

#include <algorithm>

#include "common/utf8.h"

namespace headroom::model::jinja {
namespace {

constexpr size_t kContainerBytes = 128;  // an empty one with its counters, about
constexpr size_t kEntryBytes = 96;       // of a map: the pair, and its place in the index

int DepthOf(const Value& value) {
  if (value.IsList()) return value.list().depth;
  if (value.IsDict()) return value.dict().depth;
  if (value.Is<CallableRef>()) return value.As<CallableRef>()->depth();
  return 0;
}

absl::Status CheckDepth(int depth) {
  if (depth <= Workspace::kDepthMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("makes lists or maps nested more than ", Workspace::kDepthMax, " deep"));
}

}  // namespace

const MarkedText& Value::text() const { return As<TextRef>()->text; }
bool Value::IsMarkup() const { return IsText() && As<TextRef>()->is_markup; }

const Value* Dict::Find(const Value& key) const {
  const absl::StatusOr<std::string> hashed = HashKey(key);
  if (!hashed.ok()) return nullptr;
  const auto found = positions.find(*hashed);
  return found == positions.end() ? nullptr : &items[found->second].second;
}

const Value* Dict::Find(std::string_view key) const {
  const auto found = positions.find(std::string("s").append(key));
  return found == positions.end() ? nullptr : &items[found->second].second;
}

Workspace::~Workspace() {
  for (const ListRef& list : lists_) list->items.clear();
  for (const DictRef& dict : dicts_) dict->items.clear();
  for (const NamespaceRef& names : namespaces_) names->items.clear();
}

absl::StatusOr<Value> Workspace::MakeText(MarkedText text, bool is_markup) {
  const size_t bytes = kContainerBytes + text.size() + text.runs().size() * sizeof(OriginRun);
  HEADROOM_RETURN_IF_ERROR(allowance_->WorkOnText(text.size()));
  HEADROOM_RETURN_IF_ERROR(allowance_->CheckRoom(bytes));
  return Value(TextRef(new Text{std::move(text), Charge(allowance_, bytes), is_markup}));
}

absl::StatusOr<Value> Workspace::MakeList(std::vector<Value> items, List::Kind kind) {
  const size_t bytes = kContainerBytes + items.size() * sizeof(Value);
  HEADROOM_RETURN_IF_ERROR(allowance_->Work(items.size()));
  HEADROOM_RETURN_IF_ERROR(allowance_->CheckRoom(bytes));
  int depth = 1;
  for (const Value& item : items) depth = std::max(depth, 1 + DepthOf(item));
  HEADROOM_RETURN_IF_ERROR(CheckDepth(depth));
  return Value(ListRef(new List{kind, std::move(items), depth, false, Charge(allowance_, bytes)}));
}

absl::StatusOr<DictRef> Workspace::MakeDict() {
  HEADROOM_RETURN_IF_ERROR(allowance_->CheckRoom(kContainerBytes));
  return DictRef(new Dict{{}, {}, 1, false, Charge(allowance_, kContainerBytes)});
}

absl::Status Workspace::Set(Dict& dict, const Value& key, const Value& value) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string hashed, HashKey(key));
  const size_t bytes = kEntryBytes + hashed.size();
  HEADROOM_RETURN_IF_ERROR(allowance_->WorkOnText(hashed.size()));
  HEADROOM_RETURN_IF_ERROR(allowance_->CheckRoom(bytes));
  const int depth = std::max(dict.depth, 1 + DepthOf(value));
  HEADROOM_RETURN_IF_ERROR(CheckDepth(depth));
  dict.depth = depth;
  const auto [position, is_new] = dict.positions.emplace(hashed, dict.items.size());
  if (is_new) {
    dict.items.emplace_back(key, value);
    dict.charge.Add(static_cast<int64_t>(bytes));
  } else {
    dict.items[position->second].second = value;
  }
  return absl::OkStatus();
}

absl::Status Workspace::Set(Dict& dict, std::string_view key, const Value& value) {
  HEADROOM_ASSIGN_OR_RETURN(const Value text, MakeText(std::string(key)));
  return Set(dict, text, value);
}

absl::StatusOr<NamespaceRef> Workspace::MakeNamespace() {
  HEADROOM_RETURN_IF_ERROR(allowance_->Work(1));
  return namespaces_.emplace_back(std::make_shared<Namespace>());
}

void Workspace::Remember(const ListRef& list) {
  if (!std::exchange(list->remembered, true)) lists_.push_back(list);
}

void Workspace::Remember(const DictRef& dict) {
  if (!std::exchange(dict->remembered, true)) dicts_.push_back(dict);
}

absl::Status Workspace::Append(List& list, const Value& value) {
  HEADROOM_RETURN_IF_ERROR(allowance_->CheckRoom(sizeof(Value)));
  const int depth = std::max(list.depth, 1 + DepthOf(value));
  HEADROOM_RETURN_IF_ERROR(CheckDepth(depth));
  list.depth = depth;
  list.items.push_back(value);
  list.charge.Add(sizeof(Value));
  return absl::OkStatus();
}

absl::StatusOr<std::string> HashKey(const Value& key) {
  if (key.IsText()) return "s" + key.text().bytes();
  if (key.IsInteger()) return "i" + std::to_string(key.integer());
  if (key.Is<double>()) {
    const double number = key.number();
    if (number >= -9e18 && number <= 9e18 && number == static_cast<double>(static_cast<int64_t>(number)))
      return "i" + std::to_string(static_cast<int64_t>(number));
    return "f" + FormatFloat(number);
  }
  if (key.IsNone()) return std::string("n");
  if (key.IsUndefined()) return std::string("u");
  if (key.Is<NamespaceRef>()) return absl::StrCat("o", reinterpret_cast<uintptr_t>(key.As<NamespaceRef>().get()));
  if (key.Is<CallableRef>()) return absl::StrCat("o", reinterpret_cast<uintptr_t>(key.As<CallableRef>().get()));
  if (!key.IsList() || key.list().kind != List::Kind::kTuple) {
    return absl::InvalidArgumentError("unhashable type: '" + TypeName(key) + "'");
  }
  std::string hashed = "t";
  for (const Value& item : key.list().items) {
    HEADROOM_ASSIGN_OR_RETURN(const std::string part, HashKey(item));
    absl::StrAppend(&hashed, part.size(), ":", part);
  }
  return hashed;
}

std::string TypeName(const Value& value) {
  if (value.IsUndefined()) return "Undefined";
  if (value.IsNone()) return "NoneType";
  if (value.Is<bool>()) return "bool";
  if (value.Is<int64_t>()) return "int";
  if (value.Is<double>()) return "float";
  if (value.IsText()) return "str";
  if (value.IsDict()) return "dict";
  if (value.Is<NamespaceRef>()) return "Namespace";
  if (value.Is<CallableRef>()) return "function";
  switch (value.list().kind) {
    case List::Kind::kList:
      return "list";
    case List::Kind::kTuple:
      return "tuple";
    case List::Kind::kIterator:
      return "generator";
    case List::Kind::kKeys:
      return "dict_keys";
    case List::Kind::kValues:
      return "dict_values";
    case List::Kind::kItems:
      return "dict_items";
  }
  return "";
}

bool IsTrue(const Value& value) {
  if (value.IsUndefined() || value.IsNone()) return false;
  if (value.IsInteger()) return value.integer() != 0;
  if (value.Is<double>()) return value.number() != 0;
  if (value.IsText()) return !value.text().empty();
  if (value.IsList()) return value.list().kind == List::Kind::kIterator || !value.list().items.empty();
  if (value.IsDict()) return !value.dict().items.empty();
  return true;
}

absl::StatusOr<std::vector<Value>> Elements(const Value& value, Workspace& workspace) {
  if (value.IsUndefined()) return std::vector<Value>();
  std::vector<Value> elements;
  if (value.IsText()) {
    const MarkedText& text = value.text();
    HEADROOM_RETURN_IF_ERROR(workspace.allowance().CheckRoom(text.size() * sizeof(Value)));
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin;
      NextCodePoint(text.bytes(), &end);
      HEADROOM_ASSIGN_OR_RETURN(elements.emplace_back(), workspace.MakeText(text.Cut(begin, end)));
      begin = end;
    }
    return elements;
  }
  if (value.IsDict()) {
    HEADROOM_RETURN_IF_ERROR(workspace.allowance().Work(value.dict().items.size()));
    for (const auto& [key, unused] : value.dict().items) elements.push_back(key);
    return elements;
  }
  if (!value.IsList()) return absl::InvalidArgumentError("'" + TypeName(value) + "' object is not iterable");
  HEADROOM_RETURN_IF_ERROR(workspace.allowance().Work(value.list().items.size()));
  if (value.list().kind == List::Kind::kIterator) return std::exchange(value.As<ListRef>()->items, {});
  return value.list().items;
}

}  // namespace headroom::model::jinja
