#include "model/text/jinja/parser.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "model/text/jinja/expression_parser.h"
#include "model/text/jinja/lexer.h"
#include "model/text/jinja/token_stream.h"

namespace headroom::model::jinja {
namespace {

using Kind = Token::Kind;
using Ends = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(&tokens_) {}

  absl::StatusOr<Block> ParseTemplate() { return ParseBlock({}); }

 private:
  // Statements up to one of these names, which stays to be read; with none, up to the end of the template.
  absl::StatusOr<Block> ParseBlock(Ends ends) {
    if (++depth_ > kNestingMax) {
      return ErrorAt(tokens_.line(), absl::StrCat("statements are nested more than ", kNestingMax, " deep"));
    }
    Block block;
    while (!tokens_.Is(Kind::kEnd)) {
      const int line = tokens_.line();
      if (tokens_.Is(Kind::kData)) {
        Value text(TextRef(new Text{MarkedText(tokens_.Take().text, Origin::kTemplate), Charge()}));
        block.push_back({Data{std::move(text)}, line});
      } else if (tokens_.Is(Kind::kVariableBegin)) {
        tokens_.Take();
        HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseTuple(/*conditional=*/true));
        HEADROOM_RETURN_IF_ERROR(tokens_.Expect(Kind::kVariableEnd, "'}}'"));
        block.push_back({Output{std::move(value)}, line});
      } else {
        tokens_.Take();
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return tokens_.IsName(end); })) {
          --depth_;
          return block;
        }
        HEADROOM_RETURN_IF_ERROR(ParseStatement(&block));
      }
    }
    if (ends.size() > 0) return tokens_.Unexpected("'" + std::string(*(ends.end() - 1)) + "'");
    return block;
  }

  // A block and the tag that ends it.
  absl::StatusOr<Block> ParseBody(std::string_view end) {
    HEADROOM_RETURN_IF_ERROR(EndTag());
    HEADROOM_ASSIGN_OR_RETURN(Block body, ParseBlock({end}));
    tokens_.Take();
    HEADROOM_RETURN_IF_ERROR(EndTag());
    return body;
  }

  absl::Status EndTag() { return tokens_.Expect(Kind::kBlockEnd, "'%}'"); }

  absl::Status ParseStatement(Block* block) {
    const int line = tokens_.line();
    HEADROOM_ASSIGN_OR_RETURN(const std::string name, tokens_.TakeAnyName());
    if (name == "if") return ParseIf(line, block);
    if (name == "for") return ParseFor(line, block);
    if (name == "set") return ParseSet(line, block);
    if (name == "macro") return ParseMacro(line, block);
    if (name == "call") return ParseCallBlock(line, block);
    if (name == "filter") return ParseFilterBlock(line, block);
    if (name == "with") return ParseWith(line, block);
    if (name == "generation") {
      HEADROOM_ASSIGN_OR_RETURN(Block body, ParseBody("endgeneration"));
      block->push_back({With{{}, std::move(body)}, line});
      return absl::OkStatus();
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) return ErrorAt(line, "'" + name + "' outside of a loop");
      HEADROOM_RETURN_IF_ERROR(EndTag());
      block->push_back(name == "break" ? Statement{Break{}, line} : Statement{Continue{}, line});
      return absl::OkStatus();
    }
    return ErrorAt(line, "the statement '" + CutText(name, 64) + "' is not supported, or has no place here");
  }

  absl::Status ParseIf(int line, Block* block) {
    If statement;
    while (true) {
      HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr condition, expressions_.ParseTuple(/*conditional=*/false));
      HEADROOM_RETURN_IF_ERROR(EndTag());
      HEADROOM_ASSIGN_OR_RETURN(Block body, ParseBlock({"elif", "else", "endif"}));
      statement.branches.emplace_back(std::move(condition), std::move(body));
      if (tokens_.TakeName("elif")) continue;
      if (tokens_.TakeName("else")) {
        HEADROOM_ASSIGN_OR_RETURN(statement.otherwise, ParseBody("endif"));
      } else {
        tokens_.Take();
        HEADROOM_RETURN_IF_ERROR(EndTag());
      }
      block->push_back({std::move(statement), line});
      return absl::OkStatus();
    }
  }

  absl::Status ParseFor(int line, Block* block) {
    For statement;
    HEADROOM_ASSIGN_OR_RETURN(statement.target, expressions_.ParseTarget("in"));
    HEADROOM_RETURN_IF_ERROR(tokens_.ExpectName("in"));
    HEADROOM_ASSIGN_OR_RETURN(statement.iterable, expressions_.ParseTuple(/*conditional=*/false, "recursive"));
    if (tokens_.TakeName("if")) {
      HEADROOM_ASSIGN_OR_RETURN(statement.filter, expressions_.ParseExpression());
    }
    statement.recursive = tokens_.TakeName("recursive");
    HEADROOM_RETURN_IF_ERROR(EndTag());
    ++loops_;
    HEADROOM_ASSIGN_OR_RETURN(statement.body, ParseBlock({"else", "endfor"}));
    --loops_;
    if (tokens_.TakeName("else")) {
      HEADROOM_ASSIGN_OR_RETURN(statement.otherwise, ParseBody("endfor"));
    } else {
      tokens_.Take();
      HEADROOM_RETURN_IF_ERROR(EndTag());
    }
    block->push_back({std::move(statement), line});
    return absl::OkStatus();
  }

  absl::Status ParseSet(int line, Block* block) {
    HEADROOM_ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget("="));
    if (tokens_.TakeOperator("=")) {
      HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseTuple(/*conditional=*/true));
      HEADROOM_RETURN_IF_ERROR(EndTag());
      block->push_back({Set{std::move(target), std::move(value)}, line});
      return absl::OkStatus();
    }
    Capture capture;
    capture.target = std::move(target);
    if (tokens_.TakeOperator("|")) {
      HEADROOM_ASSIGN_OR_RETURN(capture.filter, expressions_.ParseFilterChain());
    }
    HEADROOM_ASSIGN_OR_RETURN(capture.body, ParseBody("endset"));
    block->push_back({std::move(capture), line});
    return absl::OkStatus();
  }

  absl::Status ParseFilterBlock(int line, Block* block) {
    Capture capture;
    HEADROOM_ASSIGN_OR_RETURN(capture.filter, expressions_.ParseFilterChain());
    HEADROOM_ASSIGN_OR_RETURN(capture.body, ParseBody("endfilter"));
    block->push_back({std::move(capture), line});
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Parameter>> ParseParameters() {
    std::vector<Parameter> parameters;
    HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    while (!tokens_.IsOperator(")")) {
      if (!parameters.empty()) HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      Parameter& parameter = parameters.emplace_back();
      HEADROOM_ASSIGN_OR_RETURN(parameter.name, tokens_.TakeAnyName());
      if (tokens_.TakeOperator("=")) {
        HEADROOM_ASSIGN_OR_RETURN(parameter.fallback, expressions_.ParseExpression());
      } else if (parameters.size() > 1 && parameters[parameters.size() - 2].fallback != nullptr) {
        return tokens_.Unexpected("a default");
      }
    }
    tokens_.Take();
    return parameters;
  }

  // The body of a macro, which may not leave a loop around it.
  absl::Status ParseMacroBody(std::string_view end, Macro* macro) {
    std::vector<std::string> outer = std::exchange(expressions_.names_read(), {});
    const int loops = std::exchange(loops_, 0);
    HEADROOM_ASSIGN_OR_RETURN(macro->body, ParseBody(end));
    loops_ = loops;
    std::vector<std::string>& names = expressions_.names_read();
    const auto reads = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    macro->uses_varargs = reads("varargs");
    macro->uses_kwargs = reads("kwargs");
    macro->uses_caller = reads("caller");
    outer.insert(outer.end(), names.begin(), names.end());
    names = std::move(outer);
    return absl::OkStatus();
  }

  absl::Status ParseMacro(int line, Block* block) {
    Macro macro;
    HEADROOM_ASSIGN_OR_RETURN(macro.name, tokens_.TakeAnyName());
    HEADROOM_ASSIGN_OR_RETURN(macro.parameters, ParseParameters());
    HEADROOM_RETURN_IF_ERROR(ParseMacroBody("endmacro", &macro));
    block->push_back({MacroDefinition{std::move(macro)}, line});
    return absl::OkStatus();
  }

  absl::Status ParseCallBlock(int line, Block* block) {
    CallBlock statement;
    statement.caller.name = "caller";
    if (tokens_.IsOperator("(")) {
      HEADROOM_ASSIGN_OR_RETURN(statement.caller.parameters, ParseParameters());
    }
    HEADROOM_ASSIGN_OR_RETURN(statement.call, expressions_.ParseExpression());
    if (!std::holds_alternative<Call>(statement.call->node)) return ErrorAt(line, "a call block needs a call");
    HEADROOM_RETURN_IF_ERROR(ParseMacroBody("endcall", &statement.caller));
    block->push_back({std::move(statement), line});
    return absl::OkStatus();
  }

  absl::Status ParseWith(int line, Block* block) {
    With statement;
    while (!tokens_.Is(Kind::kBlockEnd)) {
      if (!statement.values.empty()) HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      HEADROOM_ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget("="));
      HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseExpression());
      statement.values.emplace_back(std::move(target), std::move(value));
    }
    HEADROOM_ASSIGN_OR_RETURN(statement.body, ParseBody("endwith"));
    block->push_back({std::move(statement), line});
    return absl::OkStatus();
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

absl::StatusOr<Block> Parse(const std::string& source) {
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).ParseTemplate();
}

}  // namespace headroom::model::jinja
