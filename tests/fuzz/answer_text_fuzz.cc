// What models write: thoughts, calls and text told apart the same way however the text comes in pieces.
#include <algorithm>

#include "common/check.h"
#include "common/utf8.h"
#include "gateway/answer_parser.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

struct Told {
  std::string text, reasoning, calls;
  bool operator==(const Told&) const = default;
};

Told Parse(const gateway::AnswerSyntax& syntax, bool forced, const std::string& answer, size_t size) {
  gateway::AnswerParser parser(syntax, {.calls = true, .forced = forced});
  Told told;
  for (size_t at = 0, end = 0; at <= answer.size(); at = end) {
    end = std::min(at + size, answer.size());
    while (end < answer.size() && IsContinuationByte(answer[end])) ++end;
    v1::GenerateResponse piece;
    piece.set_text_delta(answer.substr(at, end - at));
    const bool last = end == answer.size();
    if (last) piece.mutable_finish()->set_reason(v1::FINISH_REASON_STOP);
    parser.Parse(&piece);
    told.text += piece.text_delta();
    told.reasoning += piece.reasoning_delta();
    for (const v1::ToolCallDelta& call : piece.tool_calls()) {
      // A forced call comes in pieces.
      told.calls += (call.name().empty() ? "" : "\n" + call.name() + ":") + call.arguments_delta();
    }
    if (last) break;
  }
  return told;
}

// The first byte chooses the family and whether a call is forced, the second the size of pieces.
void Run(const std::string& input) {
  if (input.size() < 2 || input.size() > 4096) return;
  using enum gateway::CallForm;
  static const gateway::AnswerSyntax families[] = {
      {"<think>", "</think>", kTagged, "<tool_call>", "</tool_call>"},
      {"[THINK]", "[/THINK]", kList, "[TOOL_CALLS]", ""},
      {"", "", kWholeAnswer, "<|python_tag|>", ""},
      {"<think>", "</think>", kSection, "<calls>", "</calls>", {"<call>", "<sep>", "</call>"}},
      {"<think>", "</think>", kTagged, "<tool_call>", "</tool_call>", {}, "<answer>", "</answer>"},
      {"<think>", "</think>", kNone, "", "", {}, "<answer>", "</answer>"}};
  const auto kind = static_cast<uint8_t>(input[0]) % (2 * std::size(families));
  const gateway::AnswerSyntax& syntax = families[kind % std::size(families)];
  const bool forced = kind >= std::size(families);
  const std::string answer = input.substr(2);
  if (!IsValidUtf8(answer)) return;
  const Told whole = Parse(syntax, forced, answer, answer.size() + 1);
  HEADROOM_CHECK(Parse(syntax, forced, answer, static_cast<uint8_t>(input[1]) % 16 + size_t{1}) == whole) << answer;
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const char* answer :
       {"<think>a</think>\n\nb",
        "x <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>{}</tool_call>",
        "[THINK]a[/THINK][TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]",
        "[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[ARGS]{}", "{\"name\": \"f\", \"parameters\": {}}",
        "<|python_tag|>{\"name\": \"f\"}", "<tool_call", "<think>a</think>\n<answer>b</answer>",
        "<answer><tool_call>{}</tool_call> </answer>c", "<calls><call>f<sep>{}</call></calls>",
        "{\"name\": \"f\", \"arguments\": {\"a\": \"}\"}}"}) {
    for (const char* head : {"\x00\x01", "\x01\x02", "\x02\x05", "\x03\x03", "\x04\x04", "\x05\x02", "\x06\x01"})
      seeds.push_back(std::string(head, 2) + answer);
  }
  return seeds;
}

const Registration kRegistration({"answer_text", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
