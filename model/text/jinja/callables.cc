#include "model/text/jinja/callables.h"

namespace headroom::model::jinja {

int MethodValue::depth() const {
  return 1 + (self.IsList() ? self.list().depth : self.IsDict() ? self.dict().depth : 0);
}

absl::StatusOr<Value> MakeMethod(const Value& self, const std::string& name) {
  return Value(CallableRef(std::make_shared<MethodValue>(self, name)));
}

absl::StatusOr<Value> GetLoopAttribute(const Value& value, const std::string& name) {
  const auto* const loop = dynamic_cast<const LoopValue*>(value.As<CallableRef>().get());
  if (loop == nullptr) return Value();
  const auto index = static_cast<int64_t>(loop->index);
  const auto length = static_cast<int64_t>(loop->items.size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(length - index);
  if (name == "revindex0") return Value(length - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 >= length);
  if (name == "length") return Value(length);
  if (name == "depth") return Value(int64_t{loop->nesting} + 1);
  if (name == "depth0") return Value(int64_t{loop->nesting});
  if (name == "previtem") {
    if (index == 0 || index > length) return MakeUndefined("there is no previous item");
    return loop->items[loop->index - 1];
  }
  if (name == "nextitem") {
    if (index + 1 >= length) return MakeUndefined("there is no next item");
    return loop->items[loop->index + 1];
  }
  if (name == "cycle" || name == "changed") return MakeMethod(value, name);
  return Value();
}

absl::StatusOr<Value> CallLoopMethod(Runtime& runtime, const LoopValue& loop, const std::string& name,
                                     const CallArguments& arguments) {
  if (name == "cycle") {
    if (arguments.positional.empty()) return absl::InvalidArgumentError("no items for cycling given");
    return arguments.positional[loop.index % arguments.positional.size()];
  }
  HEADROOM_ASSIGN_OR_RETURN(const Value values, runtime.workspace.MakeList(arguments.positional));
  bool equal = false;
  if (!loop.last_changed.IsUndefined()) {
    HEADROOM_ASSIGN_OR_RETURN(equal, Equal(loop.last_changed, values, runtime.allowance()));
  }
  // A loop that is over keeps nothing: it would hold itself.
  if (!equal && !loop.items.empty()) loop.last_changed = values;
  return Value(!equal);
}

}  // namespace headroom::model::jinja
