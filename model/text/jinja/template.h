// Chat templates of Hugging Face are Jinja programs; this runs them as transformers does (trim_blocks, lstrip_blocks,
// loop controls, `generation`, tojson as json.dumps writes), byte for byte, with bounds on time, memory and output.
// Beyond transformers: lists and maps may be changed (append, pop, update, …), and there is a filter from_json.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/text/jinja/evaluator.h"

namespace headroom::model::jinja {

// Immutable; Render may run on several threads at once, each with a runtime of its own.
class Template {
 public:
  // INVALID_ARGUMENT naming the line.
  static absl::StatusOr<Template> Parse(const std::string& source);

  // INVALID_ARGUMENT naming the line: an error of the template, its raise_exception, or a limit of the allowance.
  absl::StatusOr<MarkedText> Render(Runtime& runtime, const Evaluator::Variables& variables) const;

 private:
  explicit Template(Block block) : block_(std::move(block)) {}

  Block block_;
};

}  // namespace headroom::model::jinja
