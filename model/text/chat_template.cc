#include "model/text/chat_template.h"

#include <algorithm>
#include <ctime>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/template_arguments.h"

namespace headroom::model {
namespace {

using jinja::MarkedText;
using jinja::Origin;
using jinja::OriginRun;

constexpr size_t kTemplateBytesMax = 1024 * 1024;

absl::StatusOr<std::shared_ptr<const jinja::Template>> Parse(const std::string& jinja) {
  if (jinja.size() > kTemplateBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template: ", jinja.size(), " bytes, the limit is ", kTemplateBytesMax));
  }
  HEADROOM_ASSIGN_OR_RETURN(jinja::Template parsed, jinja::Template::Parse(jinja));
  return std::make_shared<const jinja::Template>(std::move(parsed));
}

// The text up to where the end mark stands.
absl::StatusOr<MarkedText> CutAtEndMark(const MarkedText& text) {
  const std::string_view mark(kEndMark);
  const std::vector<OriginRun>& runs = text.runs();
  for (size_t i = runs.size(); i > 0; --i) {
    if (runs[i - 1].origin != kEndMarkOrigin) continue;
    const size_t begin = i > 1 ? runs[i - 2].end : 0;
    const std::string_view found = std::string_view(text.bytes()).substr(begin, runs[i - 1].end - begin);
    if (found == mark) return text.Cut(0, begin);
    if (!found.starts_with(mark.substr(0, mark.size() - 1))) break;
    // The template trims, so the text ends with no white space, either.
    size_t end = begin;
    while (end > 0) {
      const size_t last = CharacterStart(text.bytes(), end - 1);
      if (!TrimWhiteSpace(std::string_view(text.bytes()).substr(last, end - last)).empty()) break;
      end = last;
    }
    return text.Cut(0, end);
  }
  return absl::InvalidArgumentError(
      "continue_final_message: the chat template does not show the last message as it is");
}

// Every image must stand there once, whole, in order: a template that cuts or doubles texts could do that to them.
absl::StatusOr<std::vector<PromptSegment>> ToSegments(const MarkedText& text, const std::vector<ImagePart>& images) {
  std::vector<PromptSegment> segments;
  size_t begin = 0;
  size_t shown = 0;
  for (const OriginRun& run : text.runs()) {
    std::string bytes = text.bytes().substr(begin, run.end - begin);
    begin = run.end;
    if (run.origin == Origin::kTemplate || run.origin == Origin::kCaller) {
      const bool ours = run.origin == Origin::kTemplate;
      segments.push_back({ours ? PromptSegment::Kind::kTemplate : PromptSegment::Kind::kText, std::move(bytes), {}});
      continue;
    }
    const auto index =
        static_cast<size_t>(static_cast<int32_t>(run.origin) - static_cast<int32_t>(Origin::kFirstImage));
    if (index != shown || index >= images.size() || bytes != kImagePlaceholder) {
      return absl::InvalidArgumentError(
          absl::StrCat("image ", shown + 1, ": the chat template does not show it as it is"));
    }
    segments.push_back({PromptSegment::Kind::kImage, "", images[shown++]});
  }
  if (shown == images.size()) return segments;
  return absl::InvalidArgumentError(absl::StrCat("image ", shown + 1, ": the chat template does not show it"));
}

const char kProbe[] = "Probe";

Conversation ProbeConversation() { return {.messages = {{ChatRole::kUser, {kProbe}}}}; }

}  // namespace

int64_t ChatTemplate::WorkBytesMax(int64_t text_bytes, int64_t entries) {
  constexpr int64_t kLeast = int64_t{256} << 10;  // templates write a few KiB of their own
  constexpr int64_t kPerTextByte = 64;            // a list of empty lists is the worst
  constexpr int64_t kPerEntry = int64_t{4} << 10;
  return kLeast + kPerTextByte * text_bytes + kPerEntry * entries;
}

std::string ChatTemplate::special_token(const std::string& name) const {
  for (const auto& [key, content] : special_tokens_) {
    if (key == name) return content;
  }
  return "";
}

bool ChatTemplate::Mentions(const std::string& word) const { return text_.find(word) != std::string::npos; }

const jinja::Template& ChatTemplate::Chosen(const Conversation& conversation) const {
  return tool_use_ != nullptr && !conversation.tools.empty() ? *tool_use_ : *template_;
}

absl::Status ChatTemplate::CheckArguments(const Conversation& conversation, std::string* name) const {
  jinja::Allowance allowance({.bytes = WorkBytesMax(0, 0)});
  jinja::Workspace workspace(&allowance);
  return ReadTemplateArguments(workspace, Chosen(conversation), conversation.template_arguments_json, name).status();
}

absl::StatusOr<MarkedText> ChatTemplate::RenderMarked(const Conversation& conversation, const ContextForm& form) const {
  constexpr int64_t kOutputBytesMax = int64_t{16} << 20;
  const int64_t work = WorkBytesMax(conversation.text_bytes(), conversation.entries());
  jinja::Allowance allowance({.bytes = work / 2, .output_bytes = std::min(work / 8, kOutputBytesMax)});
  jinja::Workspace workspace(&allowance);
  std::string name;
  HEADROOM_ASSIGN_OR_RETURN(
      jinja::Evaluator::Variables variables,
      ReadTemplateArguments(workspace, Chosen(conversation), conversation.template_arguments_json, &name));
  HEADROOM_ASSIGN_OR_RETURN(const jinja::Evaluator::Variables context,
                            MakeContext(workspace, conversation, special_tokens_, form));
  variables.insert(variables.end(), context.begin(), context.end());
  jinja::Runtime runtime{workspace, std::time(nullptr)};
  return Chosen(conversation).Render(runtime, variables);
}

absl::StatusOr<std::vector<PromptSegment>> ChatTemplate::Render(const Conversation& conversation,
                                                                bool images_as_parts) const {
  HEADROOM_RETURN_IF_ERROR(ValidateConversation(conversation));
  ContextForm form = form_;
  form.images_as_parts = images_as_parts;
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, RenderMarked(conversation, form));
  if (conversation.continue_final_message) {
    HEADROOM_ASSIGN_OR_RETURN(text, CutAtEndMark(text));
  }
  return ToSegments(text, images_as_parts ? std::vector<ImagePart>() : conversation.images());
}

absl::Status ChatTemplate::Shows(const Conversation& conversation, const ContextForm& form,
                                 std::string* rendered) const {
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, RenderMarked(conversation, form));
  *rendered = text.bytes();
  // Whole, and not inside of a list or map as Python prints it.
  const size_t at = text.bytes().find(kProbe);
  const bool once = at != std::string::npos && text.bytes().find(kProbe, at + 1) == std::string::npos;
  const bool printed =
      text.bytes().find("'type': ") != std::string::npos || text.bytes().find("'content': ") != std::string::npos;
  if (once && !printed) return absl::OkStatus();
  return absl::InvalidArgumentError("chat template: it does not show the text of a user's message");
}

absl::Status ChatTemplate::FindForm() {
  Conversation with_tool = ProbeConversation();
  with_tool.tools = {{.name = "tool", .description = "A tool.", .parameters_json = R"({"type": "object"})"}};
  absl::Status first;
  for (const Conversation& conversation : {ProbeConversation(), with_tool}) {
    for (const bool parts : {false, true}) {
      for (const bool undefined : {false, true}) {
        ContextForm form = form_;
        form.one_text_as_parts = form.many_texts_as_parts = parts;
        form.tools_undefined = undefined;
        std::string rendered;
        const absl::Status shown = Shows(conversation, form, &rendered);
        if (first.ok()) first = shown;
        if (!shown.ok()) continue;
        form_ = form;
        // A list is the better form of several texts, where the template takes both.
        form.one_text_as_parts = true;
        std::string of_parts;
        form_.many_texts_as_parts = Shows(conversation, form, &of_parts).ok() && of_parts == rendered;
        return absl::OkStatus();
      }
    }
  }
  return first;
}

void ChatTemplate::FindBehindAnswer() {
  constexpr size_t kBytesMax = 256;
  Conversation conversation = ProbeConversation();
  conversation.messages.push_back({ChatRole::kAssistant, {"Answer"}});
  conversation.messages.push_back({ChatRole::kUser, {"Next"}});
  absl::StatusOr<MarkedText> text = RenderMarked(conversation, form_);
  if (!text.ok()) {
    conversation.messages.pop_back();
    conversation.add_generation_prompt = false;
    text = RenderMarked(conversation, form_);
  }
  if (!text.ok()) return;
  const size_t answer = text->bytes().rfind("Answer");
  if (answer == std::string::npos) return;
  const size_t begin = answer + std::string_view("Answer").size();
  const size_t end = std::min(text->bytes().find("Next", begin), text->size());
  behind_answer_ = text->bytes().substr(begin, std::min(end - begin, kBytesMax));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Create(const ChatTemplateSource& source) {
  ChatTemplate chat;
  const auto named = [&](const absl::Status& status) {
    return absl::Status(status.code(), source.name + ": " + std::string(status.message()));
  };
  absl::StatusOr<std::shared_ptr<const jinja::Template>> parsed = Parse(source.jinja);
  if (!parsed.ok()) return named(parsed.status());
  chat.template_ = *std::move(parsed);
  if (source.tool_use.has_value()) {
    parsed = Parse(*source.tool_use);
    if (!parsed.ok()) return named(parsed.status());
    chat.tool_use_ = *std::move(parsed);
  }
  chat.text_ = source.jinja + source.tool_use.value_or("");
  chat.special_tokens_ = source.special_tokens;
  chat.form_.developer_is_system = source.jinja.find("developer") == std::string::npos;
  if (const absl::Status found = chat.FindForm(); !found.ok()) return named(found);
  chat.FindBehindAnswer();
  return chat;
}

}  // namespace headroom::model
