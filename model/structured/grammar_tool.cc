// Says what the gate makes of schemas: reads lines {"schema": …, "texts": ["…"]} from standard input and writes a line
// {"shortest": "…", "admits": [true, …]} or {"refused": "…"} for each. Tokens are those of the tokenizer in the
// directory that the first argument names.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/status.h"
#include "model/structured/structured_text.h"
#include "model/structured/token_grammar.h"
#include "model/text/tokenizer.h"

namespace headroom::model {
namespace {

using Json = nlohmann::ordered_json;

class Tool {
 public:
  Tool(const Tokenizer& tokenizer, const TokenGrammarCompiler& compiler) : tokenizer_(tokenizer), compiler_(compiler) {
    for (int32_t id = 0; id < tokenizer.vocab_size() && end_ids_.empty(); ++id) {
      if (tokenizer.IsSpecial(id)) end_ids_.push_back(id);
    }
  }

  absl::StatusOr<Json> Answer(const Json& request) const {
    HEADROOM_ASSIGN_OR_RETURN(const TextGrammar text_grammar, GrammarOfSchema(request.at("schema").dump()));
    HEADROOM_ASSIGN_OR_RETURN(const auto grammar, compiler_.Compile(text_grammar.ebnf));
    Json answer = {{"shortest", text_grammar.shortest}, {"admits", Json::array()}};
    for (const Json& text : request.at("texts")) {
      HEADROOM_ASSIGN_OR_RETURN(const bool admitted, Admits(text.get<std::string>(), grammar));
      answer["admits"].push_back(admitted);
    }
    return answer;
  }

 private:
  absl::StatusOr<bool> Admits(const std::string& text, const std::shared_ptr<const TokenGrammar>& grammar) const {
    HEADROOM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer_.Encode(text, AddedTokens::kNone));
    HEADROOM_ASSIGN_OR_RETURN(const std::unique_ptr<TokenMatcher> matcher, compiler_.Match(grammar, end_ids_));
    ids.push_back(end_ids_.front());
    for (const int32_t id : ids) {
      if (!matcher->Accept(id).ok()) return false;
    }
    return true;
  }

  const Tokenizer& tokenizer_;
  const TokenGrammarCompiler& compiler_;
  std::vector<int32_t> end_ids_;
};

int Main(const std::string& directory) {
  const auto tokenizer = Tokenizer::FromDirectory(directory);
  if (!tokenizer.ok()) return std::cerr << tokenizer.status() << "\n", 1;
  const auto compiler = TokenGrammarCompiler::Create(**tokenizer, (*tokenizer)->vocab_size());
  if (!compiler.ok()) {
    std::cerr << compiler.status().message() << ": " << TokenGrammarCompiler::HowToGetIt() << "\n";
    return 1;
  }
  const Tool tool(**tokenizer, **compiler);
  for (std::string line; std::getline(std::cin, line);) {
    const auto answer = tool.Answer(Json::parse(line));
    std::cout << (answer.ok() ? *answer : Json{{"refused", std::string(answer.status().message())}}).dump()
              << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace headroom::model

int main(int argc, char** argv) {
  if (argc == 2) return headroom::model::Main(argv[1]);
  std::cerr << "headroom-grammar TOKENIZER_DIRECTORY\n";
  return 2;
}
