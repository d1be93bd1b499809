// Chat templates: how a conversation becomes one prompt text. A template is a Jinja program, which jinja/ runs; what it
// is given, and what is made of its text, is here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/text/chat_context.h"
#include "model/text/conversation.h"
#include "model/text/jinja/template.h"

namespace headroom::model {

// A stretch of the prompt, in order.
struct PromptSegment {
  enum class Kind {
    kTemplate,  // text that the template wrote: special tokens stand in it
    kControl,   // `text` is the content of one special token
    kText,      // ordinary text; tokenized together with neighbouring text, special tokens not looked for
    kImage,
  };
  Kind kind = Kind::kText;
  std::string text;
  ImagePart image;
};

// The text of templates and what they may name, as a model directory has them (chat_template_files.h).
struct ChatTemplateSource {
  std::string name;  // of the file, for errors
  std::string jinja;
  std::optional<std::string> tool_use;                              // rendered instead where tools are given
  std::vector<std::pair<std::string, std::string>> special_tokens;  // bos_token, eos_token, …: name, content
};

// Immutable and thread-safe.
class ChatTemplate {
 public:
  // Renders a few short conversations to find out what the template takes: whether a message's content is a text or a
  // list of parts, and how tools are absent. INVALID_ARGUMENT when it is no Jinja that is supported, naming the line,
  // or shows a user's message in none of these ways.
  static absl::StatusOr<ChatTemplate> Create(const ChatTemplateSource& source);

  // kTemplate, kText and kImage; images in the order of the conversation. With `images_as_parts` the template is given
  // pictures as parts of a message and writes itself what stands for them, so that there are none. INVALID_ARGUMENT:
  // those of ValidateConversation, JSON that is none, what the template itself refuses, and a rendering above its
  // bounds.
  absl::StatusOr<std::vector<PromptSegment>> Render(const Conversation& conversation,
                                                    bool images_as_parts = false) const;

  // Of Conversation::template_arguments_json alone, which Render checks, too: INVALID_ARGUMENT with what is wrong;
  // `*name`: of the argument that is, where it is one.
  absl::Status CheckArguments(const Conversation& conversation, std::string* name) const;

  // Render works in less memory. `text_bytes`: Conversation::text_bytes; `entries`: Conversation::entries.
  static int64_t WorkBytesMax(int64_t text_bytes, int64_t entries);

  // What the template writes behind a message of the assistant: it begins with the token that ends an answer. Empty
  // where it writes nothing.
  const std::string& behind_answer() const { return behind_answer_; }
  // Whether the text of the template, or of the one for tools, has `word` in it.
  bool Mentions(const std::string& word) const;
  // The content of a special token ("eos_token"); empty when the model names none.
  std::string special_token(const std::string& name) const;

 private:
  ChatTemplate() = default;
  const jinja::Template& Chosen(const Conversation& conversation) const;
  absl::StatusOr<jinja::MarkedText> RenderMarked(const Conversation& conversation, const ContextForm& form) const;
  // Whether a message of one text comes out whole and alone; `rendered` is what came out.
  absl::Status Shows(const Conversation& conversation, const ContextForm& form, std::string* rendered) const;
  absl::Status FindForm();
  void FindBehindAnswer();

  std::shared_ptr<const jinja::Template> template_;
  std::shared_ptr<const jinja::Template> tool_use_;  // may be null
  std::string text_;                                 // of both
  std::vector<std::pair<std::string, std::string>> special_tokens_;
  ContextForm form_;
  std::string behind_answer_;
};

}  // namespace headroom::model
