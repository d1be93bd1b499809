// Two processes serve the same model when their fingerprints are equal: SHA-256 over config, tokenizer, chat template
// and preprocessor files and the headers of the checkpoint. Tensor data is not read.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"

namespace headroom::model {

// 64 lower-case hex digits. `chat_template`: the file that stands for the model's own template (model.chat_template),
// or nothing.
absl::StatusOr<std::string> ModelFingerprint(const std::string& directory, const Checkpoint& checkpoint,
                                             const std::string& chat_template = "");

}  // namespace headroom::model
