// Chat templates of Hugging Face are Jinja programs; this runs them as transformers does (trim_blocks, lstrip_blocks,
// loop controls, `generation`, tojson as json.dumps writes), byte for byte, with bounds on time, memory and output.
// Beyond transformers: lists and maps may be changed (append, pop, update, …), and there is a filter from_json.
#pragma once

#include <set>
#include <string>
#include <utility>

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

  // Whether a variable of this name could change what it writes: false means no, for certain.
  bool Reads(const std::string& name) const { return names_.contains(name); }

 private:
  Template(Block block, std::set<std::string> names) : block_(std::move(block)), names_(std::move(names)) {}

  Block block_;
  std::set<std::string> names_;
};

}  // namespace headroom::model::jinja
