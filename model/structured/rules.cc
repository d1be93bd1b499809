#include "model/structured/rules.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

// A schema whose shortest text is longer is of no use, and writing that text down could take for ever.
constexpr int64_t kShortestBytesMax = 64 * 1024;
constexpr int64_t kEndless = std::numeric_limits<int64_t>::max() / (int64_t{1} << 20);

void AppendEscaped(char32_t c, std::string* out) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
    out->push_back(static_cast<char>(c));
  } else if (c <= 0xFFFF) {
    absl::StrAppendFormat(out, "\\u%04x", static_cast<uint32_t>(c));
  } else {
    absl::StrAppendFormat(out, "\\U%08x", static_cast<uint32_t>(c));
  }
}

std::string Utf8(char32_t c) {
  std::string text;
  AppendUtf8(c, &text);
  return text;
}

}  // namespace

Rules::Rules() {
  nodes_.push_back({});
  nodes_.push_back({.kind = Kind::kLiteral});
}

Rules::Expression Rules::Add(Node node) {
  size_ += 1 + node.text.size() + node.set.size() + node.parts.size();
  nodes_.push_back(std::move(node));
  return static_cast<Expression>(nodes_.size() - 1);
}

Rules::Expression Rules::Literal(const std::string& text) {
  return text.empty() ? Empty() : Add({.kind = Kind::kLiteral, .text = text});
}

Rules::Expression Rules::Class(CodePoints set) {
  if (set.empty()) return Never();
  if (set.size() == 1 && set[0].first == set[0].last) return Literal(Utf8(set[0].first));
  return Add({.kind = Kind::kClass, .set = std::move(set)});
}

Rules::Expression Rules::Sequence(const std::vector<Expression>& parts) {
  std::vector<int32_t> flat;
  for (const Expression part : parts) {
    if (part == Never()) return Never();
    if (part == Empty()) continue;
    const Node& node = nodes_[static_cast<size_t>(part)];
    if (node.kind == Kind::kSequence) {
      flat.insert(flat.end(), node.parts.begin(), node.parts.end());
    } else {
      flat.push_back(part);
    }
  }
  // Neighbouring literals become one.
  std::vector<int32_t> joined;
  for (const Expression part : flat) {
    const bool literals = !joined.empty() && nodes_[static_cast<size_t>(part)].kind == Kind::kLiteral &&
                          nodes_[static_cast<size_t>(joined.back())].kind == Kind::kLiteral;
    if (literals) {
      joined.back() = Literal(nodes_[static_cast<size_t>(joined.back())].text + nodes_[static_cast<size_t>(part)].text);
    } else {
      joined.push_back(part);
    }
  }
  if (joined.empty()) return Empty();
  if (joined.size() == 1) return joined[0];
  return Add({.kind = Kind::kSequence, .parts = std::move(joined)});
}

Rules::Expression Rules::Choice(const std::vector<Expression>& options) {
  std::vector<int32_t> some;
  for (const Expression option : options) {
    if (option != Never() && std::ranges::find(some, option) == some.end()) some.push_back(option);
  }
  if (some.empty()) return Never();
  if (some.size() == 1) return some[0];
  return Add({.kind = Kind::kChoice, .parts = std::move(some)});
}

Rules::Expression Rules::Repeat(Expression expression, int64_t min, int64_t max) {
  HEADROOM_CHECK(min >= 0);
  if (max != kUnbounded && max < min) return Never();
  if (max == 0 || expression == Empty()) return Empty();
  if (expression == Never()) return min == 0 ? Empty() : Never();
  if (min == 1 && max == 1) return expression;
  return Add({.kind = Kind::kRepeat, .parts = {expression}, .min = min, .max = max});
}

int32_t Rules::NewRule() {
  bodies_.push_back(Never());
  return static_cast<int32_t>(bodies_.size() - 1);
}

Rules::Expression Rules::Reference(int32_t rule) { return Add({.kind = Kind::kReference, .parts = {rule}}); }

void Rules::Define(int32_t rule, Expression body) { bodies_[static_cast<size_t>(rule)] = body; }

Rules::Expression Rules::Shared(Expression expression) {
  const Node& node = nodes_[static_cast<size_t>(expression)];
  if (node.kind == Kind::kNever || node.kind == Kind::kLiteral || node.kind == Kind::kReference) return expression;
  const int32_t rule = NewRule();
  Define(rule, expression);
  return Reference(rule);
}

int64_t Rules::LengthOf(Expression expression) const {
  const Node& node = nodes_[static_cast<size_t>(expression)];
  int64_t length = 0;
  switch (node.kind) {
    case Kind::kNever:
      return kEndless;
    case Kind::kLiteral:
      return static_cast<int64_t>(node.text.size());
    case Kind::kClass:
      return static_cast<int64_t>(Utf8(node.set[0].first).size());
    case Kind::kSequence:
      for (const Expression part : node.parts) length = std::min(kEndless, length + LengthOf(part));
      return length;
    case Kind::kChoice:
      length = kEndless;
      for (const Expression part : node.parts) length = std::min(length, LengthOf(part));
      return length;
    case Kind::kRepeat:
      return node.min == 0 ? 0 : std::min(kEndless, node.min * LengthOf(node.parts[0]));
    case Kind::kReference:
      return lengths_[static_cast<size_t>(node.parts[0])];
  }
  return kEndless;
}

// From "endless" downwards until nothing changes: after n rounds every rule whose shortest text nests n deep is right.
void Rules::MeasureRules() {
  lengths_.assign(bodies_.size(), kEndless);
  for (bool changed = true; changed;) {
    changed = false;
    // Rules are defined before what they refer to: backwards, most are right after one round.
    for (size_t i = bodies_.size(); i-- > 0;) {
      const int64_t length = LengthOf(bodies_[i]);
      if (length < lengths_[i]) {
        lengths_[i] = length;
        changed = true;
      }
    }
  }
}

bool Rules::CanEnd(Expression expression) const { return LengthOf(expression) < kEndless; }

std::optional<std::string> Rules::Shortest(Expression root) {
  MeasureRules();
  if (LengthOf(root) > kShortestBytesMax) return std::nullopt;
  std::string text;
  AppendShortest(root, &text);
  return text;
}

void Rules::AppendShortest(Expression expression, std::string* text) const {
  const Node& node = nodes_[static_cast<size_t>(expression)];
  switch (node.kind) {
    case Kind::kNever:
      return;
    case Kind::kLiteral:
      text->append(node.text);
      return;
    case Kind::kClass:
      AppendUtf8(node.set[0].first, text);
      return;
    case Kind::kSequence:
      for (const Expression part : node.parts) AppendShortest(part, text);
      return;
    case Kind::kChoice: {
      const auto length = [this](Expression part) { return LengthOf(part); };
      AppendShortest(*std::ranges::min_element(node.parts, {}, length), text);
      return;
    }
    case Kind::kRepeat:
      for (int64_t i = 0; i < node.min; ++i) AppendShortest(node.parts[0], text);
      return;
    case Kind::kReference:
      AppendShortest(bodies_[static_cast<size_t>(node.parts[0])], text);
      return;
  }
}

std::string Rules::Ebnf(Expression root) {
  MeasureRules();
  HEADROOM_CHECK(CanEnd(root));
  std::string text = "root ::= ";
  Print(root, /*inside=*/false, &text);
  text += "\n";
  for (size_t i = 0; i < bodies_.size(); ++i) {
    if (lengths_[i] >= kEndless) continue;
    absl::StrAppend(&text, "r", i, " ::= ");
    Print(bodies_[i], /*inside=*/false, &text);
    text += "\n";
  }
  return text;
}

// `inside`: of something that binds closer than a choice.
void Rules::Print(Expression expression, bool inside, std::string* out) const {
  const Node& node = nodes_[static_cast<size_t>(expression)];
  const char* separator = "";
  switch (node.kind) {
    case Kind::kNever:
      HEADROOM_CHECK(false) << "matches nothing";
      return;
    case Kind::kLiteral:
      out->push_back('"');
      for (size_t at = 0; at < node.text.size();) AppendEscaped(NextCodePoint(node.text, &at), out);
      out->push_back('"');
      return;
    case Kind::kClass:
      out->push_back('[');
      for (const CodePointRange& range : node.set) {
        AppendEscaped(range.first, out);
        if (range.first == range.last) continue;
        out->push_back('-');
        AppendEscaped(range.last, out);
      }
      out->push_back(']');
      return;
    case Kind::kSequence:
      if (inside) out->push_back('(');
      for (const Expression part : node.parts) {
        out->append(std::exchange(separator, " "));
        Print(part, /*inside=*/true, out);
      }
      if (inside) out->push_back(')');
      return;
    case Kind::kChoice:
      if (inside) out->push_back('(');
      for (const Expression part : node.parts) {
        if (!CanEnd(part)) continue;
        out->append(std::exchange(separator, " | "));
        Print(part, /*inside=*/true, out);
      }
      if (inside) out->push_back(')');
      return;
    case Kind::kRepeat:
      PrintRepeat(node, out);
      return;
    case Kind::kReference:
      absl::StrAppend(out, "r", node.parts[0]);
      return;
  }
}

void Rules::PrintRepeat(const Node& node, std::string* out) const {
  if (!CanEnd(node.parts[0])) {
    out->append("\"\"");
    return;
  }
  const bool nested = nodes_[static_cast<size_t>(node.parts[0])].kind == Kind::kRepeat;
  if (nested) out->push_back('(');
  Print(node.parts[0], /*inside=*/true, out);
  if (nested) out->push_back(')');
  if (node.max == kUnbounded && node.min <= 1) {
    out->push_back(node.min == 0 ? '*' : '+');
  } else if (node.max == kUnbounded) {
    absl::StrAppend(out, "{", node.min, ",}");
  } else if (node.min == 0 && node.max == 1) {
    out->push_back('?');
  } else {
    absl::StrAppend(out, "{", node.min, ",", node.max, "}");
  }
}

}  // namespace headroom::model
