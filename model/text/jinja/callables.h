// Values that can be called, besides the functions that every template has.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja/ast.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/scope.h"

namespace headroom::model::jinja {

// value.name, to be called.
struct MethodValue : Callable {
  MethodValue(Value self_value, std::string method) : self(std::move(self_value)), name(std::move(method)) {}
  int depth() const override;

  Value self;
  std::string name;
};

// A macro with the names that it sees; so is the caller of a call block.
struct MacroValue : Callable {
  MacroValue(const Macro* definition, Scope* where) : macro(definition), scope(where) {}

  const Macro* const macro;
  Scope* const scope;
};

// A function that every template has.
struct FunctionValue : Callable {
  explicit FunctionValue(GlobalFunction called) : function(called) {}

  const GlobalFunction function;
};

// `loop`, while its loop runs; afterwards it has no elements.
struct LoopValue : Callable {
  LoopValue(const For* loop, Scope* where, int level) : statement(loop), scope(where), nesting(level) {}

  const For* const statement;
  Scope* const scope;  // around the loop
  const int nesting;   // of recursive calls, from 0
  mutable std::vector<Value> items;
  mutable size_t index = 0;
  mutable Value last_changed;  // the arguments of loop.changed
};

absl::StatusOr<Value> MakeMethod(const Value& self, const std::string& name);

// loop.index and the like; undefined where `value` is no loop or has no such attribute.
absl::StatusOr<Value> GetLoopAttribute(const Value& value, const std::string& name);
// loop.cycle(…), loop.changed(…).
absl::StatusOr<Value> CallLoopMethod(Runtime& runtime, const LoopValue& loop, const std::string& name,
                                     const CallArguments& arguments);

}  // namespace headroom::model::jinja
