#include "gateway/openai/common_fields.h"
#include "gateway/openai/fields.h"

namespace headroom::gateway::openai {
namespace {

using enum Handling;

constexpr double kInt32Max = 2147483647;
constexpr char kSchemaHelp[] = "JSON Schema (structured-output.md)";
constexpr char kChoiceHelp[] = "auto: where the model's template knows tools; else a call is forced, of any model";

// ---- parts of a conversation

const Shape& ImageUrlShape() {
  static const Shape shape{"ImageUrl",
                           {{.name = "url",
                             .types = kString,
                             .help = "a data URI in base64; other addresses are not fetched",
                             .required = true},
                            {.name = "detail",
                             .types = kString,
                             .help = "low: one piece; else as many as the model cuts",
                             .values = "auto|low|high|original"}}};
  return shape;
}

const Shape& ImageSizeShape() {
  constexpr double kSideMax = 65535;
  static const Shape shape{
      "ImageSize",
      {{"width", kInteger, "as people see it", kDone, true, 1, kSideMax},
       {"height", kInteger, "", kDone, true, 1, kSideMax},
       {.name = "format",
        .types = kString,
        .help = "absent: one that takes the most memory",
        .values = "png|jpeg|webp|gif|bmp"},
       {"size_bytes", kInteger, "of the file; absent: the price is without them", kDone, false, 0, kInt32Max}}};
  return shape;
}

const Shape& PartShape() {
  static const Shape shape{
      "ContentPart",
      {{.name = "type", .types = kString, .help = "", .required = true, .values = "text|image_url|refusal|image_size"},
       {"text", kString, "of a text"},
       {"refusal", kString, "of a refusal: text of the assistant"},
       {.name = "image_url", .types = kObject | kString, .help = "of a picture", .shape = &ImageUrlShape()},
       {.name = "image_size",
        .types = kObject,
        .help = "in place of a picture, for /v1/headroom/price alone",
        .shape = &ImageSizeShape()},
       {"cache_control", kAny, "", kInert}}};
  return shape;
}

const Shape& CallShape() {
  static const Shape function{"CalledFunction",
                              {{.name = "name", .types = kString, .help = "", .required = true},
                               {"arguments", kString, "a JSON object as text"}}};
  static const Shape shape{"ToolCall",
                           {{"id", kString, ""},
                            {.name = "type", .types = kString, .help = "", .values = "function"},
                            {"index", kInteger, "", kInert},
                            {.name = "function", .types = kObject, .help = "", .required = true, .shape = &function}}};
  return shape;
}

const Shape& MessageShape() {
  static const Shape shape{
      "Message",
      {{.name = "role",
        .types = kString,
        .help = "",
        .required = true,
        .values = "system|developer|user|assistant|tool"},
       {.name = "content", .types = kString | kArray, .help = "", .items = kObject, .shape = &PartShape()},
       {"name", kString, "who speaks, or the tool that answers"},
       {.name = "tool_calls", .types = kArray, .help = "of the assistant", .items = kObject, .shape = &CallShape()},
       {"tool_call_id", kString, "of a tool: the call that it answers"},
       {"refusal", kString, "of the assistant, in place of content"},
       {"reasoning_content", kString, "", kInert},
       {"reasoning", kString, "", kInert},
       {"annotations", kArray, "", kInert},
       {"audio", kAny, "there are no voices here", kRefused},
       {"function_call", kAny, "tool_calls is the field for that", kRefused}}};
  return shape;
}

const Shape& ToolShape() {
  static const Shape function{"Function",
                              {{.name = "name", .types = kString, .help = "", .required = true},
                               {"description", kString, ""},
                               {"parameters", kObject, kSchemaHelp},
                               {"strict", kBoolean, "arguments of a forced call always follow the schema", kInert}}};
  static const Shape shape{"Tool",
                           {{.name = "type", .types = kString, .help = "", .required = true, .values = "function"},
                            {.name = "function", .types = kObject, .help = "", .required = true, .shape = &function}}};
  return shape;
}

const Shape& ToolChoiceShape() {
  static const Shape function{"ChosenFunction", {{.name = "name", .types = kString, .help = "", .required = true}}};
  static const Shape shape{"ToolChoice",
                           {{.name = "type", .types = kString, .help = "", .required = true, .values = "function"},
                            {.name = "function", .types = kObject, .help = "", .required = true, .shape = &function}}};
  return shape;
}

const Shape& ResponseFormatShape() {
  static const Shape schema{"JsonSchemaFormat",
                            {{.name = "name", .types = kString, .help = "1 to 64 bytes", .required = true},
                             {"description", kString, "", kInert},
                             {"schema", kObject, kSchemaHelp},
                             {"strict", kBoolean, "always so", kInert}}};
  static const Shape shape{
      "ResponseFormat",
      {{.name = "type", .types = kString, .help = "", .required = true, .values = "text|json_object|json_schema"},
       {.name = "json_schema", .types = kObject, .help = "", .shape = &schema}}};
  return shape;
}

const Shape& TemplateArgumentsShape() {
  static const Shape shape{"TemplateArguments",
                           {{"enable_thinking", kBoolean, ""},
                            {"thinking", kBoolean, ""},
                            {"reasoning_effort", kString, "at most 64 bytes"},
                            {"thinking_budget", kInteger, "", kDone, false, -1, kInt32Max},
                            {"clear_thinking", kBoolean, ""},
                            {"preserve_thinking", kBoolean, ""},
                            {"thinking_mode", kString, "at most 64 bytes"}}};
  return shape;
}

Fields ConversationFields() {
  return {
      {.name = "messages",
       .types = kArray,
       .help = "",
       .required = true,
       .least = 1,
       .most = 4096,
       .items = kObject,
       .shape = &MessageShape()},
      {.name = "tools", .types = kArray, .help = "", .least = 0, .most = 256, .items = kObject, .shape = &ToolShape()},
      {"max_slice_nums", kInteger, "pieces of a picture; absent: the model's", kDone, false, 1, 256},
      {"add_generation_prompt", kBoolean, "the prompt ends with the head of the assistant's message"},
      {"continue_final_message", kBoolean, "the answer goes on from the last message"},
      {.name = "chat_template_kwargs",
       .types = kObject,
       .help = "where the model's template reads them",
       .shape = &TemplateArgumentsShape()},
      {.name = "reasoning_effort",
       .types = kString,
       .help = "where the model's template reads it",
       .values = "none|minimal|low|medium|high|xhigh"},
  };
}

Fields ChatAnswerFields() {
  return {
      {"max_tokens", kInteger, "with the prompt at most max_model_len", kDone, false, 1, kInt32Max},
      {"max_completion_tokens", kInteger, "the same; both must be equal", kDone, false, 1, kInt32Max},
      {"n", kInteger, "answers, each priced", kDone, false, 1, 16},
      {"logprobs", kBoolean, ""},
      {"top_logprobs", kInteger, "wants logprobs", kDone, false, 0, 20},
      {"prompt_logprobs", kInteger, "alternatives beside each token of the prompt", kDone, false, 0, 20},
      {.name = "response_format",
       .types = kObject,
       .help = "the answer is JSON; excludes stop, stop_token_ids, min_tokens, ignore_eos",
       .shape = &ResponseFormatShape()},
      {.name = "tool_choice",
       .types = kString | kObject,
       .help = kChoiceHelp,
       .values = "none|auto|required",
       .shape = &ToolChoiceShape()},
      {"parallel_tool_calls", kBoolean, ""},
  };
}

// ---- /v1/responses

const Shape& ResponsesPartShape() {
  static const Shape shape{"ResponseContentPart",
                           {{.name = "type",
                             .types = kString,
                             .help = "",
                             .required = true,
                             .values = "input_text|output_text|text|refusal|input_image"},
                            {"text", kString, "of a text"},
                            {"refusal", kString, "of a refusal"},
                            {"image_url", kString, "of a picture: a data URI in base64"},
                            {.name = "detail",
                             .types = kString,
                             .help = "low: one piece; else as many as the model cuts",
                             .values = "auto|low|high|original"},
                            {"annotations", kArray, "", kInert},
                            {"logprobs", kArray, "", kInert},
                            {"file_id", kAny, "nothing is stored", kRefused}}};
  return shape;
}

const Shape& ResponsesItemShape() {
  static const Shape shape{
      "ResponseItem",
      {{.name = "type",
        .types = kString,
        .help = "absent: message; a reasoning is left out",
        .values = "message|function_call|function_call_output|reasoning"},
       {.name = "role", .types = kString, .help = "of a message", .values = "system|developer|user|assistant"},
       {.name = "content",
        .types = kString | kArray,
        .help = "of a message",
        .items = kObject,
        .shape = &ResponsesPartShape()},
       {"call_id", kString, "of a call, or of what it gave"},
       {"name", kString, "of a call"},
       {"arguments", kString, "of a call: a JSON object as text"},
       {.name = "output",
        .types = kString | kArray,
        .help = "what a call gave",
        .items = kObject,
        .shape = &ResponsesPartShape()},
       {"id", kString, "", kInert},
       {"status", kString, "", kInert},
       {"phase", kString, "", kInert},
       {"summary", kArray, "", kInert},
       {"encrypted_content", kString, "", kInert}}};
  return shape;
}

const Shape& ResponsesToolShape() {
  static const Shape shape{"ResponseTool",
                           {{.name = "type", .types = kString, .help = "", .required = true, .values = "function"},
                            {"name", kString, ""},
                            {"description", kString, ""},
                            {"parameters", kObject, kSchemaHelp},
                            {"strict", kBoolean, "arguments of a forced call always follow the schema", kInert}}};
  return shape;
}

const Shape& ResponsesToolChoiceShape() {
  static const Shape shape{"ResponseToolChoice",
                           {{.name = "type", .types = kString, .help = "", .required = true, .values = "function"},
                            {.name = "name", .types = kString, .help = "", .required = true}}};
  return shape;
}

const Shape& ResponsesTextShape() {
  static const Shape format{
      "ResponseTextFormat",
      {{.name = "type", .types = kString, .help = "", .required = true, .values = "text|json_object|json_schema"},
       {"name", kString, "of a json_schema: 1 to 64 bytes"},
       {"description", kString, "", kInert},
       {"schema", kObject, kSchemaHelp},
       {"strict", kBoolean, "always so", kInert}}};
  static const Shape shape{
      "ResponseText",
      {{.name = "format", .types = kObject, .help = "", .shape = &format},
       {.name = "verbosity", .types = kString, .help = "", .handling = kInert, .values = "medium"}}};
  return shape;
}

const Shape& ReasoningShape() {
  static const Shape shape{"Reasoning",
                           {{.name = "effort",
                             .types = kString,
                             .help = "where the model's template reads it",
                             .values = "none|minimal|low|medium|high|xhigh"},
                            {"summary", kString, "", kInert},
                            {"generate_summary", kString, "", kInert}}};
  return shape;
}

}  // namespace

const Shape& ChatShape() {
  static const Shape shape{
      "ChatCompletionRequest",
      Join({ModelField(),
            ConversationFields(),
            ChatAnswerFields(),
            SamplingFields(),
            StopFields(),
            StreamFields(),
            ExtensionFields(),
            InertFields(),
            {{.name = "verbosity", .types = kString, .help = "", .handling = kInert, .values = "medium"},
             {.name = "modalities", .types = kArray, .help = "", .handling = kInert, .values = R"(["text"])"}},
            Refused({{"audio", "there are no voices here"},
                     {"prediction", "answers are computed as they come"},
                     {"web_search_options", "nothing is fetched"},
                     {"moderation", "no model here judges texts"},
                     {"functions", "tools is the field for that"},
                     {"function_call", "tool_choice is the field for that"}}),
            RefusedEverywhere()})};
  return shape;
}

const Shape& CompletionsShape() {
  static const Shape shape{
      "CompletionRequest",
      Join({ModelField(),
            {{.name = "prompt",
              .types = kString | kArray,
              .help = "one text, or a list of one",
              .required = true,
              .least = 1,
              .most = 1,
              .items = kString},
             {"max_tokens", kInteger, "with the prompt at most max_model_len", kDone, false, 1, kInt32Max},
             {"n", kInteger, "answers, each priced", kDone, false, 1, 16},
             {"logprobs", kInteger, "alternatives beside each token", kDone, false, 0, 20},
             {.name = "response_format",
              .types = kObject,
              .help = "the answer is JSON; excludes stop, stop_token_ids, min_tokens, ignore_eos",
              .shape = &ResponseFormatShape()}},
            SamplingFields(),
            StopFields(),
            StreamFields(),
            ExtensionFields(),
            InertFields(),
            RefusedEverywhere()})};
  return shape;
}

const Shape& ResponsesShape() {
  static const Shape shape{
      "ResponseRequest",
      Join({ModelField(),
            {{.name = "input",
              .types = kString | kArray,
              .help = "a text of the user, or items",
              .required = true,
              .least = 1,
              .most = 4096,
              .items = kObject,
              .shape = &ResponsesItemShape()},
             {"instructions", kString, "a system message before all others"},
             {"max_output_tokens", kInteger, "with the prompt at most max_model_len", kDone, false, 1, kInt32Max},
             {"stream", kBoolean, "server-sent events"},
             {.name = "stream_options", .types = kObject, .help = "", .handling = kInert},
             {.name = "tools",
              .types = kArray,
              .help = "",
              .least = 0,
              .most = 256,
              .items = kObject,
              .shape = &ResponsesToolShape()},
             {.name = "tool_choice",
              .types = kString | kObject,
              .help = kChoiceHelp,
              .values = "none|auto|required",
              .shape = &ResponsesToolChoiceShape()},
             {"parallel_tool_calls", kBoolean, ""},
             {.name = "text", .types = kObject, .help = "", .shape = &ResponsesTextShape()},
             {.name = "reasoning", .types = kObject, .help = "", .shape = &ReasoningShape()},
             {"top_logprobs", kInteger, "alternatives beside each token", kDone, false, 0, 20},
             {.name = "include",
              .types = kArray,
              .help = "message.output_text.logprobs has an effect, other values have none",
              .least = 0,
              .most = 32,
              .items = kString},
             {.name = "background", .types = kBoolean, .help = "", .handling = kInert, .values = "false"},
             {.name = "truncation", .types = kString, .help = "", .handling = kInert, .values = "disabled"}},
            SamplingFields(),
            ExtensionFields(),
            InertFields(),
            Refused({{"previous_response_id", "nothing is stored: send the whole conversation"},
                     {"conversation", "nothing is stored: send the whole conversation"},
                     {"prompt", "nothing is stored: send instructions and input"},
                     {"max_tool_calls", "there are no tools that run here"}}),
            RefusedEverywhere()})};
  return shape;
}

const Shape& TokenizeShape() {
  static const Shape shape{
      "TokenizeRequest",
      {{"model", kString, "a name or alias of /v1/models; may be left out where one model is served"},
       {"prompt", kString, "text as it is; or messages"},
       {.name = "messages",
        .types = kArray,
        .help = "as /v1/chat/completions makes a prompt of them; texts alone",
        .least = 1,
        .most = 4096,
        .items = kObject,
        .shape = &MessageShape()},
       {.name = "tools", .types = kArray, .help = "", .least = 0, .most = 256, .items = kObject, .shape = &ToolShape()},
       {"add_generation_prompt", kBoolean, ""},
       {"continue_final_message", kBoolean, ""},
       {.name = "chat_template_kwargs", .types = kObject, .help = "", .shape = &TemplateArgumentsShape()},
       {"return_token_strs", kBoolean, "the tokens' texts as well"}}};
  return shape;
}

const Shape& DetokenizeShape() {
  static const Shape shape{
      "DetokenizeRequest",
      {{"model", kString, "a name or alias of /v1/models; may be left out where one model is served"},
       {.name = "tokens",
        .types = kArray,
        .help = "ids",
        .required = true,
        .least = 0,
        .most = 131072,
        .items = kInteger}}};
  return shape;
}

}  // namespace headroom::gateway::openai
