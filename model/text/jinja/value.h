// Values of a template, with the meaning that they have in Python, on which Jinja stands.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/status.h"
#include "model/text/jinja/allowance.h"
#include "model/text/jinja/marked_text.h"

namespace headroom::model::jinja {

struct Text;
struct List;
struct Dict;
struct Namespace;
struct Callable;

// What an undefined value was called, for errors; it may be null.
struct Undefined {
  std::shared_ptr<const std::string> what;
};
struct None {};

using TextRef = std::shared_ptr<const Text>;
using ListRef = std::shared_ptr<List>;
using DictRef = std::shared_ptr<Dict>;
using NamespaceRef = std::shared_ptr<Namespace>;
using CallableRef = std::shared_ptr<const Callable>;

// Cheap to copy: containers are shared, as in Python.
class Value {
 public:
  // A value is what it is made of: NOLINTBEGIN(google-explicit-constructor)
  Value() : value_(Undefined{}) {}
  Value(Undefined value) : value_(std::move(value)) {}
  Value(None value) : value_(value) {}
  Value(bool value) : value_(value) {}
  Value(int64_t value) : value_(value) {}
  Value(double value) : value_(value) {}
  Value(TextRef value) : value_(std::move(value)) {}
  Value(ListRef value) : value_(std::move(value)) {}
  Value(DictRef value) : value_(std::move(value)) {}
  Value(NamespaceRef value) : value_(std::move(value)) {}
  Value(CallableRef value) : value_(std::move(value)) {}
  // NOLINTEND(google-explicit-constructor)

  template <typename T>
  bool Is() const {
    return std::holds_alternative<T>(value_);
  }
  template <typename T>
  const T& As() const {
    return *std::get_if<T>(&value_);
  }

  bool IsUndefined() const { return Is<Undefined>(); }
  bool IsNone() const { return Is<None>(); }
  bool IsText() const { return Is<TextRef>(); }
  bool IsList() const { return Is<ListRef>(); }
  bool IsDict() const { return Is<DictRef>(); }
  // As in Python a bool is an integer.
  bool IsInteger() const { return Is<int64_t>() || Is<bool>(); }
  bool IsNumber() const { return IsInteger() || Is<double>(); }

  const MarkedText& text() const;
  bool IsMarkup() const;
  const List& list() const { return *As<ListRef>(); }
  const Dict& dict() const { return *As<DictRef>(); }
  // Of an integer or bool.
  int64_t integer() const { return Is<bool>() ? static_cast<int64_t>(As<bool>()) : As<int64_t>(); }
  // Of any number.
  double number() const { return Is<double>() ? As<double>() : static_cast<double>(integer()); }

 private:
  std::variant<Undefined, None, bool, int64_t, double, TextRef, ListRef, DictRef, NamespaceRef, CallableRef> value_;
};

struct Text {
  MarkedText text;
  Charge charge;
  // Went through the filters `safe` or `escape`: what is added to it by + is escaped for HTML, as Python does.
  bool is_markup = false;
};

struct List {
  // How Python prints it and what it may be asked. An iterator is empty once it was gone through, and is always true.
  enum class Kind { kList, kTuple, kIterator, kKeys, kValues, kItems };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  int depth = 1;            // of containers, this one counted
  bool remembered = false;  // by the workspace
  Charge charge;

  bool IsSequence() const { return kind == Kind::kList || kind == Kind::kTuple; }
};

// In the order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  absl::flat_hash_map<std::string, size_t> positions;  // by HashKey
  int depth = 1;
  bool remembered = false;
  Charge charge;

  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};

// What can be called: see callables.h.
struct Callable {
  virtual ~Callable() = default;
  // Of containers that it holds.
  virtual int depth() const { return 0; }
};

// Makes values, within an allowance. Containers that changed after they were made may hold themselves; they are taken
// apart when the workspace goes, so that nothing stays.
class Workspace {
 public:
  static constexpr int kDepthMax = 100;

  explicit Workspace(Allowance* allowance) : allowance_(allowance) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  absl::StatusOr<Value> MakeText(MarkedText text, bool is_markup = false);
  absl::StatusOr<Value> MakeText(std::string bytes, Origin origin = Origin::kTemplate) {
    return MakeText(MarkedText(std::move(bytes), origin));
  }
  absl::StatusOr<Value> MakeList(std::vector<Value> items, List::Kind kind = List::Kind::kList);
  absl::StatusOr<DictRef> MakeDict();
  // A later value of the same key takes its place. INVALID_ARGUMENT for a key that Python cannot hash.
  absl::Status Set(Dict& dict, const Value& key, const Value& value);
  absl::Status Set(Dict& dict, std::string_view key, const Value& value);
  absl::StatusOr<NamespaceRef> MakeNamespace();
  // Before a list or map that exists is changed by the template.
  void Remember(const ListRef& list);
  void Remember(const DictRef& dict);
  absl::Status Append(List& list, const Value& value);

  Allowance& allowance() { return *allowance_; }

 private:
  Allowance* const allowance_;
  std::vector<ListRef> lists_;
  std::vector<DictRef> dicts_;
  std::vector<NamespaceRef> namespaces_;
};

// Equal keys have equal strings, whatever their type (1, 1.0 and True are one key). INVALID_ARGUMENT for a list or map.
absl::StatusOr<std::string> HashKey(const Value& key);

// "str", "int", …, as Python calls it.
std::string TypeName(const Value& value);

bool IsTrue(const Value& value);

// Python's ==. INVALID_ARGUMENT where the comparison is too deep or takes too many steps.
absl::StatusOr<bool> Equal(const Value& a, const Value& b, Allowance& allowance);

// Python's order, below, equal or above 0. INVALID_ARGUMENT where there is none.
absl::StatusOr<int> Compare(const Value& a, const Value& b, Allowance& allowance);

// Python's str(): what `{{ value }}` writes.
absl::StatusOr<MarkedText> ToText(const Value& value, Allowance& allowance);
// Python's repr().
absl::StatusOr<MarkedText> ToRepr(const Value& value, Allowance& allowance);

// 1.0, 1e-07, inf: Python's repr of a float.
std::string FormatFloat(double value);

// The elements that Python would iterate over: of a list, the keys of a map, the characters of a string. An iterator is
// empty afterwards. INVALID_ARGUMENT when it cannot be iterated over.
absl::StatusOr<std::vector<Value>> Elements(const Value& value, Workspace& workspace);

}  // namespace headroom::model::jinja
