// A context-free grammar over text: expressions, and rules that may refer to each other. Built bottom up; expressions
// that can match nothing disappear as they are built, rules that can never end disappear when the grammar is written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/structured/code_points.h"

namespace headroom::model {

class Rules {
 public:
  using Expression = int32_t;
  static constexpr int64_t kUnbounded = -1;

  Rules();

  // Matches nothing at all.
  static constexpr Expression Never() { return 0; }
  // Matches the empty text.
  static constexpr Expression Empty() { return 1; }
  // `text` is valid UTF-8.
  Expression Literal(const std::string& text);
  Expression Class(CodePoints set);
  Expression Sequence(const std::vector<Expression>& parts);
  Expression Choice(const std::vector<Expression>& options);
  Expression Optional(Expression expression) { return Choice({Empty(), expression}); }
  // 0 ≤ min ≤ max, or kUnbounded.
  Expression Repeat(Expression expression, int64_t min, int64_t max);

  // A rule to be defined once, later: this is how grammars recur.
  int32_t NewRule();
  Expression Reference(int32_t rule);
  void Define(int32_t rule, Expression body);
  // A reference to a new rule with this body, for what is used more than once.
  Expression Shared(Expression expression);

  // Nodes and bytes that the expressions hold, in one number that grows with time and memory of whatever reads them.
  size_t size() const { return size_; }

  // The shortest text of `root`; absent when there is none, as with rules that never
  // end, or none of up to 64 KiB.
  std::optional<std::string> Shortest(Expression root);
  // The rules as xgrammar's EBNF, `root` among them as "root". `root` has a text.
  std::string Ebnf(Expression root);

 private:
  enum class Kind : uint8_t { kNever, kLiteral, kClass, kSequence, kChoice, kRepeat, kReference };
  struct Node {
    Kind kind = Kind::kNever;
    std::string text = {};            // kLiteral
    CodePoints set = {};              // kClass
    std::vector<int32_t> parts = {};  // kSequence, kChoice; one for kRepeat; kReference: a rule
    int64_t min = 0, max = 0;         // kRepeat
  };

  Expression Add(Node node);
  // Bytes of the shortest text, or kEndless.
  int64_t LengthOf(Expression expression) const;
  void MeasureRules();
  void AppendShortest(Expression expression, std::string* text) const;
  void Print(Expression expression, bool inside, std::string* out) const;
  void PrintRepeat(const Node& node, std::string* out) const;
  bool CanEnd(Expression expression) const;

  std::vector<Node> nodes_;
  std::vector<Expression> bodies_;  // by rule
  std::vector<int64_t> lengths_;    // by rule: of the shortest text
  size_t size_ = 0;
};

}  // namespace headroom::model
