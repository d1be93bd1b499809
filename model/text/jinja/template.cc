#include "model/text/jinja/template.h"

#include <vector>

#include "model/text/jinja/lexer.h"
#include "model/text/jinja/parser.h"

namespace headroom::model::jinja {

absl::StatusOr<Template> Template::Parse(const std::string& source) {
  HEADROOM_ASSIGN_OR_RETURN(Block block, jinja::Parse(source));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Token> tokens, Tokenize(source));
  std::set<std::string> names;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool member = i > 0 && tokens[i - 1].kind == Token::Kind::kOperator && tokens[i - 1].text == ".";
    if (tokens[i].kind == Token::Kind::kName && !member) names.insert(tokens[i].text);
  }
  return Template(std::move(block), std::move(names));
}

absl::StatusOr<MarkedText> Template::Render(Runtime& runtime, const Evaluator::Variables& variables) const {
  return Evaluator(runtime, variables).Run(block_);
}

}  // namespace headroom::model::jinja
