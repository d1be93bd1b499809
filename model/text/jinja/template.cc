#include "model/text/jinja/template.h"

#include "model/text/jinja/parser.h"

namespace headroom::model::jinja {

absl::StatusOr<Template> Template::Parse(const std::string& source) {
  HEADROOM_ASSIGN_OR_RETURN(Block block, jinja::Parse(source));
  return Template(std::move(block));
}

absl::StatusOr<MarkedText> Template::Render(Runtime& runtime, const Evaluator::Variables& variables) const {
  return Evaluator(runtime, variables).Run(block_);
}

}  // namespace headroom::model::jinja
