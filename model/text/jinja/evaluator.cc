// Statements; expressions are in evaluate_expressions.cc.
#include "model/text/jinja/evaluator.h"

#include <algorithm>
#include <utility>

#include "common/utf8.h"
#include "model/text/jinja/lexer.h"

namespace headroom::model::jinja {

Evaluator::Evaluator(Runtime& runtime, const Variables& variables)
    : runtime_(runtime), workspace_(runtime.workspace), allowance_(runtime.allowance()) {
  for (const auto& [name, value] : variables) root_.Set(name, value);
}

template <typename Action>
absl::StatusOr<MarkedText> Evaluator::CaptureOutput(Action run) {
  MarkedText text;
  MarkedText* const outer = std::exchange(out_, &text);
  const absl::Status status = run();
  out_ = outer;
  written_ -= text.size();
  HEADROOM_RETURN_IF_ERROR(status);
  return text;
}

absl::StatusOr<MarkedText> Evaluator::Run(const Block& block) {
  absl::StatusOr<MarkedText> text = CaptureOutput([&] { return Execute(block, root_).status(); });
  if (!text.ok()) return ErrorAt(line_, std::string(text.status().message()));
  return text;
}

absl::Status Evaluator::Write(const MarkedText& text) {
  HEADROOM_RETURN_IF_ERROR(allowance_.CheckOutput(written_ + text.size()));
  HEADROOM_RETURN_IF_ERROR(allowance_.WorkOnText(text.size()));
  out_->Append(text);
  written_ += text.size();
  return absl::OkStatus();
}

absl::Status Evaluator::Leave(std::unique_ptr<Scope> scope) {
  if (!scope->captured()) return absl::OkStatus();
  constexpr size_t kScopeBytes = 512;
  HEADROOM_RETURN_IF_ERROR(allowance_.CheckRoom(kScopeBytes));
  charges_.push_back(std::make_unique<Charge>(&allowance_, kScopeBytes));
  kept_.push_back(std::move(scope));
  return absl::OkStatus();
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Block& block, Scope& scope) {
  if (depth_ >= kDepthMax) return absl::InvalidArgumentError(absl::StrCat("nested more than ", kDepthMax, " deep"));
  ++depth_;
  absl::StatusOr<Flow> flow = Flow::kNext;
  for (const Statement& statement : block) {
    line_ = statement.line;
    if (absl::Status counted = allowance_.Work(1); !counted.ok()) return counted;
    flow = std::visit([&](const auto& node) { return Execute(node, scope); }, statement.node);
    if (!flow.ok() || *flow != Flow::kNext) break;
  }
  --depth_;
  return flow;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Data& data, Scope&) {
  HEADROOM_RETURN_IF_ERROR(Write(data.text.text()));
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Output& output, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value value, Evaluate(*output.value, scope));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(value, allowance_));
  HEADROOM_RETURN_IF_ERROR(Write(text));
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const If& statement, Scope& scope) {
  for (const auto& [condition, body] : statement.branches) {
    HEADROOM_ASSIGN_OR_RETURN(const Value value, Evaluate(*condition, scope));
    if (IsTrue(value)) return Execute(body, scope);
  }
  return Execute(statement.otherwise, scope);
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const For& statement, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.iterable, scope));
  return RunLoop(statement, iterable, scope, /*nesting=*/0);
}

absl::StatusOr<std::vector<Value>> Evaluator::LoopElements(const For& statement, const Value& iterable, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(iterable, workspace_));
  if (statement.filter == nullptr) return elements;
  std::vector<Value> kept;
  for (Value& element : elements) {
    Scope inner(&scope);
    HEADROOM_RETURN_IF_ERROR(Assign(statement.target, element, inner));
    HEADROOM_ASSIGN_OR_RETURN(const Value condition, Evaluate(*statement.filter, inner));
    if (IsTrue(condition)) kept.push_back(std::move(element));
  }
  return kept;
}

absl::StatusOr<Evaluator::Flow> Evaluator::RunLoop(const For& statement, const Value& iterable, Scope& scope,
                                                   int nesting) {
  const auto loop = std::make_shared<LoopValue>(&statement, &scope, nesting);
  HEADROOM_ASSIGN_OR_RETURN(loop->items, LoopElements(statement, iterable, scope));
  const bool empty = loop->items.empty();
  absl::Status status;
  for (; status.ok() && loop->index < loop->items.size(); ++loop->index) {
    auto body = std::make_unique<Scope>(&scope);
    status = Assign(statement.target, loop->items[loop->index], *body);
    if (!status.ok()) break;
    body->Set("loop", Value(CallableRef(loop)));
    const absl::StatusOr<Flow> flow = Execute(statement.body, *body);
    status = flow.status();
    if (status.ok()) status = Leave(std::move(body));
    if (flow.ok() && *flow == Flow::kBreak) break;
  }
  // A loop that something keeps would hold what holds it.
  loop->items.clear();
  loop->last_changed = Value();
  HEADROOM_RETURN_IF_ERROR(status);
  if (!empty) return Flow::kNext;
  auto otherwise = std::make_unique<Scope>(&scope);
  HEADROOM_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.otherwise, *otherwise));
  HEADROOM_RETURN_IF_ERROR(Leave(std::move(otherwise)));
  return flow;
}

absl::Status Evaluator::Assign(const Target& target, const Value& value, Scope& scope) {
  if (!target.elements.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> values, Elements(value, workspace_));
    if (values.size() != target.elements.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot unpack ", values.size(), " values into ", target.elements.size(), " names"));
    }
    for (size_t i = 0; i < values.size(); ++i) {
      HEADROOM_RETURN_IF_ERROR(Assign(target.elements[i], values[i], scope));
    }
    return absl::OkStatus();
  }
  if (target.attribute.empty()) {
    scope.Set(target.name, value);
    return absl::OkStatus();
  }
  const Value* const names = scope.Find(target.name);
  if (names == nullptr || !names->Is<NamespaceRef>()) {
    return absl::InvalidArgumentError("cannot assign attribute on non-namespace object '" + target.name + "'");
  }
  for (auto& [name, old] : names->As<NamespaceRef>()->items) {
    if (name == target.attribute) {
      old = value;
      return absl::OkStatus();
    }
  }
  names->As<NamespaceRef>()->items.emplace_back(target.attribute, value);
  return absl::OkStatus();
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Set& statement, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, scope));
  HEADROOM_RETURN_IF_ERROR(Assign(statement.target, value, scope));
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Capture& statement, Scope& scope) {
  auto body = std::make_unique<Scope>(&scope);
  Flow flow = Flow::kNext;
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, CaptureOutput([&]() -> absl::Status {
                              HEADROOM_ASSIGN_OR_RETURN(flow, Execute(statement.body, *body));
                              return Leave(std::move(body));
                            }));
  if (flow != Flow::kNext) return flow;
  Value value;
  if (statement.filter != nullptr) {
    const MarkedText* const outer = std::exchange(filter_input_, &text);
    absl::StatusOr<Value> filtered = Evaluate(*statement.filter, scope);
    filter_input_ = outer;
    HEADROOM_RETURN_IF_ERROR(filtered.status());
    value = *std::move(filtered);
  } else {
    HEADROOM_ASSIGN_OR_RETURN(value, workspace_.MakeText(std::move(text)));
  }
  if (statement.target.has_value()) {
    HEADROOM_RETURN_IF_ERROR(Assign(*statement.target, value, scope));
    return Flow::kNext;
  }
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText written, ToText(value, allowance_));
  HEADROOM_RETURN_IF_ERROR(Write(written));
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const MacroDefinition& statement, Scope& scope) {
  scope.Capture();
  scope.Set(statement.macro.name, Value(CallableRef(std::make_shared<MacroValue>(&statement.macro, &scope))));
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const CallBlock& statement, Scope& scope) {
  const Call& call = std::get<Call>(statement.call->node);
  HEADROOM_ASSIGN_OR_RETURN(const Value callee, Evaluate(*call.callee, scope));
  HEADROOM_ASSIGN_OR_RETURN(CallArguments arguments, EvaluateArguments(call.arguments, scope));
  scope.Capture();
  arguments.named.emplace_back("caller", CallableRef(std::make_shared<MacroValue>(&statement.caller, &scope)));
  HEADROOM_ASSIGN_OR_RETURN(const Value value, CallValue(callee, std::move(arguments)));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(value, allowance_));
  HEADROOM_RETURN_IF_ERROR(Write(text));
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const With& statement, Scope& scope) {
  auto body = std::make_unique<Scope>(&scope);
  for (const auto& [target, expression] : statement.values) {
    HEADROOM_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression, scope));
    HEADROOM_RETURN_IF_ERROR(Assign(target, value, *body));
  }
  HEADROOM_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.body, *body));
  HEADROOM_RETURN_IF_ERROR(Leave(std::move(body)));
  return flow;
}

absl::StatusOr<Value> Evaluator::CallValue(const Value& callee, CallArguments arguments) {
  if (callee.IsUndefined()) return UndefinedError(callee.As<Undefined>());
  if (!callee.Is<CallableRef>()) return absl::InvalidArgumentError("'" + TypeName(callee) + "' object is not callable");
  const CallableRef& called = callee.As<CallableRef>();
  if (const auto* const macro = dynamic_cast<const MacroValue*>(called.get()); macro != nullptr)
    return CallMacro(*macro, std::move(arguments));
  if (const auto* const method = dynamic_cast<const MethodValue*>(called.get()); method != nullptr)
    return CallMethod(runtime_, method->self, method->name, arguments);
  if (const auto* const function = dynamic_cast<const FunctionValue*>(called.get()); function != nullptr)
    return function->function(runtime_, arguments);
  const auto& loop = static_cast<const LoopValue&>(*called);
  if (!loop.statement->recursive) return absl::InvalidArgumentError("the loop is not recursive");
  if (loop.items.empty()) return absl::InvalidArgumentError("the loop is over");
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"iterable"}));
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, CaptureOutput([&] {
                              return RunLoop(*loop.statement, given[0], *loop.scope, loop.nesting + 1).status();
                            }));
  return workspace_.MakeText(std::move(text));
}

absl::StatusOr<Value> Evaluator::CallMacro(const MacroValue& macro, CallArguments arguments) {
  auto scope = std::make_unique<Scope>(macro.scope);
  HEADROOM_RETURN_IF_ERROR(BindParameters(*macro.macro, std::move(arguments), *scope));
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, CaptureOutput([&]() -> absl::Status {
                              HEADROOM_RETURN_IF_ERROR(Execute(macro.macro->body, *scope).status());
                              return Leave(std::move(scope));
                            }));
  return workspace_.MakeText(std::move(text));
}

absl::Status Evaluator::BindParameters(const Macro& macro, CallArguments arguments, Scope& scope) {
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError("macro '" + macro.name + "' takes " + what);
  };
  const auto take = [&](const std::string& name, Value* value) {
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& argument) { return argument.first == name; });
    if (named == arguments.named.end()) return false;
    *value = named->second;
    arguments.named.erase(named);
    return true;
  };
  const size_t count = macro.parameters.size();
  std::vector<bool> missing(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = macro.parameters[i].name;
    Value value = MakeUndefined("parameter '" + name + "' was not provided");
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else {
      missing[i] = !take(name, &value);
    }
    scope.Set(name, std::move(value));
  }
  if (macro.uses_caller) {
    Value caller = MakeUndefined("No caller defined");
    take("caller", &caller);
    scope.Set("caller", std::move(caller));
  }
  std::vector<Value> more;
  if (arguments.positional.size() > count)
    more.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(count), arguments.positional.end());
  if (!more.empty() && !macro.uses_varargs) return refuse(absl::StrCat("not more than ", count, " argument(s)"));
  if (!arguments.named.empty() && !macro.uses_kwargs)
    return refuse("no keyword argument '" + arguments.named[0].first + "'");
  if (macro.uses_varargs) {
    HEADROOM_ASSIGN_OR_RETURN(const Value varargs, workspace_.MakeList(std::move(more), List::Kind::kTuple));
    scope.Set("varargs", varargs);
  }
  if (macro.uses_kwargs) {
    HEADROOM_ASSIGN_OR_RETURN(const DictRef kwargs, workspace_.MakeDict());
    for (const auto& [name, value] : arguments.named) HEADROOM_RETURN_IF_ERROR(workspace_.Set(*kwargs, name, value));
    scope.Set("kwargs", Value(kwargs));
  }
  for (size_t i = 0; i < count; ++i) {
    if (!missing[i] || macro.parameters[i].fallback == nullptr) continue;
    HEADROOM_ASSIGN_OR_RETURN(Value value, Evaluate(*macro.parameters[i].fallback, scope));
    scope.Set(macro.parameters[i].name, std::move(value));
  }
  return absl::OkStatus();
}

}  // namespace headroom::model::jinja
