// Runs a parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja/ast.h"
#include "model/text/jinja/callables.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/scope.h"

namespace headroom::model::jinja {

// One rendering.
class Evaluator {
 public:
  using Variables = std::vector<std::pair<std::string, Value>>;

  Evaluator(Runtime& runtime, const Variables& variables);

  // INVALID_ARGUMENT names the line.
  absl::StatusOr<MarkedText> Run(const Block& block);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  // Nested evaluations, of which the stack has room.
  static constexpr int kDepthMax = 600;

  absl::StatusOr<Flow> Execute(const Block& block, Scope& scope);
  absl::StatusOr<Flow> Execute(const Data& data, Scope& scope);
  absl::StatusOr<Flow> Execute(const Output& output, Scope& scope);
  absl::StatusOr<Flow> Execute(const If& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const For& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const Set& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const Capture& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const MacroDefinition& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const CallBlock& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const With& statement, Scope& scope);
  absl::StatusOr<Flow> Execute(const Break&, Scope&) { return Flow::kBreak; }
  absl::StatusOr<Flow> Execute(const Continue&, Scope&) { return Flow::kContinue; }

  absl::StatusOr<Flow> RunLoop(const For& statement, const Value& iterable, Scope& scope, int nesting);
  absl::StatusOr<std::vector<Value>> LoopElements(const For& statement, const Value& iterable, Scope& scope);
  absl::Status Assign(const Target& target, const Value& value, Scope& scope);
  absl::Status Write(const MarkedText& text);
  // What `run` writes, instead of writing it.
  template <typename Action>
  absl::StatusOr<MarkedText> CaptureOutput(Action run);

  absl::StatusOr<Value> Evaluate(const Expression& expression, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Constant& constant, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Name& name, Scope& scope);
  absl::StatusOr<Value> Evaluate(const ListLiteral& list, Scope& scope);
  absl::StatusOr<Value> Evaluate(const DictLiteral& dict, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Attribute& attribute, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Subscript& subscript, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Slice& slice, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Call& call, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Filter& filter, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Test& test, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Unary& unary, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Binary& binary, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Concatenation& concatenation, Scope& scope);
  absl::StatusOr<Value> Evaluate(const ComparisonChain& chain, Scope& scope);
  absl::StatusOr<Value> Evaluate(const Conditional& conditional, Scope& scope);
  // None for null.
  absl::StatusOr<Value> EvaluateIfPresent(const ExpressionPtr& expression, Scope& scope);

  absl::StatusOr<CallArguments> EvaluateArguments(const Arguments& arguments, Scope& scope);
  absl::StatusOr<Value> CallValue(const Value& callee, CallArguments arguments);
  absl::StatusOr<Value> CallMacro(const MacroValue& macro, CallArguments arguments);
  absl::Status BindParameters(const Macro& macro, CallArguments arguments, Scope& scope);

  // Keeps a scope that a macro saw; see Scope::Capture.
  absl::Status Leave(std::unique_ptr<Scope> scope);

  Runtime& runtime_;
  Workspace& workspace_;
  Allowance& allowance_;
  Scope root_{nullptr};
  std::vector<std::unique_ptr<Scope>> kept_;
  std::vector<std::unique_ptr<Charge>> charges_;  // of `kept_`
  MarkedText* out_ = nullptr;
  size_t written_ = 0;                        // in all outputs that are open
  const MarkedText* filter_input_ = nullptr;  // the text of the filter block that is being filtered
  int line_ = 1;
  int depth_ = 0;
};

}  // namespace headroom::model::jinja
