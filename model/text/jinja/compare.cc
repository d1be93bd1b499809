// Equality and order of values.
#include <algorithm>

#include "model/text/jinja/value.h"

namespace headroom::model::jinja {
namespace {

absl::Status TooDeep() {
  return absl::InvalidArgumentError(absl::StrCat("compares values nested more than ", Workspace::kDepthMax, " deep"));
}

absl::Status NoOrder(const Value& a, const Value& b) {
  return absl::InvalidArgumentError("'<' not supported between instances of '" + TypeName(a) + "' and '" + TypeName(b) +
                                    "'");
}

int Sign(int64_t a, int64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

class Comparison {
 public:
  explicit Comparison(Allowance& allowance) : allowance_(allowance) {}

  absl::StatusOr<bool> Equal(const Value& a, const Value& b, int depth) {
    HEADROOM_RETURN_IF_ERROR(allowance_.Work(1));
    if (a.IsInteger() && b.IsInteger()) return a.integer() == b.integer();
    if (a.IsNumber() && b.IsNumber()) return a.number() == b.number();
    if (a.IsText() && b.IsText()) {
      HEADROOM_RETURN_IF_ERROR(allowance_.WorkOnText(std::min(a.text().size(), b.text().size())));
      return a.text().bytes() == b.text().bytes();
    }
    if (a.IsList() && b.IsList()) return EqualLists(a.list(), b.list(), depth + 1);
    if (a.IsDict() && b.IsDict()) return EqualDicts(a.dict(), b.dict(), depth + 1);
    if (a.IsNone() || a.IsUndefined()) return a.IsNone() ? b.IsNone() : b.IsUndefined();
    if (a.Is<NamespaceRef>() && b.Is<NamespaceRef>()) return a.As<NamespaceRef>() == b.As<NamespaceRef>();
    if (a.Is<CallableRef>() && b.Is<CallableRef>()) return a.As<CallableRef>() == b.As<CallableRef>();
    return false;
  }

  absl::StatusOr<int> Order(const Value& a, const Value& b, int depth) {
    HEADROOM_RETURN_IF_ERROR(allowance_.Work(1));
    if (a.IsInteger() && b.IsInteger()) return Sign(a.integer(), b.integer());
    if (a.IsNumber() && b.IsNumber()) return a.number() < b.number() ? -1 : a.number() > b.number() ? 1 : 0;
    if (a.IsText() && b.IsText()) {
      HEADROOM_RETURN_IF_ERROR(allowance_.WorkOnText(std::min(a.text().size(), b.text().size())));
      return Sign(a.text().bytes().compare(b.text().bytes()), 0);
    }
    if (!a.IsList() || !b.IsList() || !a.list().IsSequence() || a.list().kind != b.list().kind) return NoOrder(a, b);
    if (depth >= Workspace::kDepthMax) return TooDeep();
    const std::vector<Value>& left = a.list().items;
    const std::vector<Value>& right = b.list().items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(left[i], right[i], depth + 1));
      if (!equal) return Order(left[i], right[i], depth + 1);
    }
    return Sign(static_cast<int64_t>(left.size()), static_cast<int64_t>(right.size()));
  }

 private:
  absl::StatusOr<bool> EqualLists(const List& a, const List& b, int depth) {
    if (&a == &b) return true;
    if (a.kind != b.kind || !a.IsSequence() || a.items.size() != b.items.size()) return false;
    if (depth > Workspace::kDepthMax) return TooDeep();
    for (size_t i = 0; i < a.items.size(); ++i) {
      HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(a.items[i], b.items[i], depth));
      if (!equal) return false;
    }
    return true;
  }

  absl::StatusOr<bool> EqualDicts(const Dict& a, const Dict& b, int depth) {
    if (&a == &b) return true;
    if (a.items.size() != b.items.size()) return false;
    if (depth > Workspace::kDepthMax) return TooDeep();
    for (const auto& [key, value] : a.items) {
      const Value* other = b.Find(key);
      if (other == nullptr) return false;
      HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(value, *other, depth));
      if (!equal) return false;
    }
    return true;
  }

  Allowance& allowance_;
};

}  // namespace

absl::StatusOr<bool> Equal(const Value& a, const Value& b, Allowance& allowance) {
  return Comparison(allowance).Equal(a, b, 0);
}

absl::StatusOr<int> Compare(const Value& a, const Value& b, Allowance& allowance) {
  return Comparison(allowance).Order(a, b, 0);
}

}  // namespace headroom::model::jinja
