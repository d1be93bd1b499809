#include "gateway/answer_parser.h"

#include <algorithm>
#include <utility>

#include "common/random.h"
#include "common/utf8.h"

namespace headroom::gateway {
namespace {

// Bytes at the end of `text` that may be the beginning of `marker`.
size_t PossibleBegin(const std::string& text, const std::string& marker) {
  for (size_t size = std::min(text.size(), marker.size() - (marker.empty() ? 0 : 1)); size > 0; --size) {
    if (text.compare(text.size() - size, size, marker, 0, size) == 0) return size;
  }
  return 0;
}

bool IsBlank(std::string_view text) { return TrimWhiteSpace(text).empty(); }

}  // namespace

AnswerParser::Choice& AnswerParser::ChoiceAt(int index) {
  const auto found = choices_.find(index);
  if (found != choices_.end()) return found->second;
  return choices_.emplace(index, Choice{options_.thinks ? State::kReasoning : State::kBegin}).first->second;
}

void AnswerParser::Parse(v1::GenerateResponse* piece) {
  if (piece->text_delta().empty() && !piece->has_finish()) return;
  Choice& choice = ChoiceAt(piece->choice());
  choice.held += piece->text_delta();
  piece->clear_text_delta();
  Step(choice, piece->has_finish(), piece);
  const bool well = piece->has_finish() && piece->finish().reason() == v1::FINISH_REASON_STOP;
  if (well && choice.calls > 0) piece->mutable_finish()->set_reason(v1::FINISH_REASON_TOOL_CALLS);
}

void AnswerParser::Step(Choice& choice, bool last, v1::GenerateResponse* piece) {
  while (StepOnce(choice, last, piece)) {
  }
}

// Whether there is more to do with what is held.
bool AnswerParser::StepOnce(Choice& choice, bool last, v1::GenerateResponse* piece) {
  if (choice.trim_next) {
    choice.held = TrimFront(choice.held);
    if (choice.held.empty()) return false;
    choice.trim_next = false;
  }
  switch (choice.state) {
    case State::kBegin:
      return StepBegin(choice, last);
    case State::kReasoning:
      return StepReasoning(choice, last, piece);
    case State::kAnswerBegin:
      return StepAnswerBegin(choice, last);
    case State::kText:
      return StepText(choice, last, piece);
    case State::kCall:
      return StepCall(choice, last, piece);
  }
  return false;
}

// Thoughts stand before anything else.
bool AnswerParser::StepBegin(Choice& choice, bool last) {
  const std::string_view text = TrimFront(choice.held);
  const std::string& begin = syntax_.reasoning_begin;
  if (!begin.empty() && text.starts_with(begin)) {
    choice.held = text.substr(begin.size());
    choice.state = State::kReasoning;
    choice.trim_next = true;
    return true;
  }
  if (!begin.empty() && std::string_view(begin).starts_with(text) && !last) return false;
  choice.state = State::kAnswerBegin;
  return true;
}

bool AnswerParser::StepReasoning(Choice& choice, bool last, v1::GenerateResponse* piece) {
  std::string& held = choice.held;
  const size_t end = held.find(syntax_.reasoning_end);
  const bool found = end != std::string::npos;
  const size_t keep = found || last ? 0 : PossibleBegin(held, syntax_.reasoning_end);
  const size_t shown = found ? end : held.size() - keep;
  piece->mutable_reasoning_delta()->append(held, 0, shown);
  held.erase(0, found ? end + syntax_.reasoning_end.size() : shown);
  if (!found) return false;
  choice.state = State::kAnswerBegin;
  choice.trim_next = true;
  return true;
}

bool AnswerParser::StepAnswerBegin(Choice& choice, bool last) {
  const std::string_view text = TrimFront(choice.held);
  const std::string& begin = syntax_.answer_begin;
  if (!begin.empty() && text.starts_with(begin)) {
    choice.held = text.substr(begin.size());
    choice.trim_next = choice.answers = true;
  } else if (!begin.empty() && std::string_view(begin).starts_with(text) && !last) {
    return false;
  }
  choice.state = State::kText;
  return true;
}

// Bytes at the end of what is held that wait for what comes next.
size_t AnswerParser::MayBecomeMark(const Choice& choice) const {
  const std::string& held = choice.held;
  size_t size = choice.answers ? PossibleBegin(held, syntax_.answer_end) : 0;
  if (!calls_read()) return size;
  size = std::max(size, PossibleBegin(held, syntax_.call_begin));
  // White space before a call belongs to it.
  constexpr std::string_view kWhite = " \n\r\t";
  while (size < held.size() && kWhite.find(held[held.size() - size - 1]) != std::string_view::npos) ++size;
  return size;
}

bool AnswerParser::StepText(Choice& choice, bool last, v1::GenerateResponse* piece) {
  std::string& held = choice.held;
  if (options_.forced) {
    ForcedPiece(choice, std::exchange(held, {}), last, piece);
    return false;
  }
  // Looked at first: what a marker behind the brace means must not hang on how the text was cut.
  if (calls_read() && syntax_.calls == CallForm::kWholeAnswer && !choice.shown) {
    const std::string_view text = TrimFront(held);
    if (text.empty() && !last) return false;
    if (text.starts_with('{')) {
      choice.state = State::kCall;
      return true;
    }
  }
  constexpr size_t kNone = std::string::npos;
  const size_t call = !calls_read() || syntax_.call_begin.empty() ? kNone : held.find(syntax_.call_begin);
  const size_t end = choice.answers ? held.find(syntax_.answer_end) : kNone;
  if (const size_t mark = std::min(call, end); mark != kNone) {
    Show(choice, held.substr(0, mark), piece);
    held.erase(0, mark + (mark == call ? syntax_.call_begin : syntax_.answer_end).size());
    if (mark == call) choice.state = State::kCall;
    if (mark == end) choice.answers = false;
    return true;
  }
  const size_t keep = last ? 0 : MayBecomeMark(choice);
  Show(choice, held.substr(0, held.size() - keep), piece);
  held.erase(0, held.size() - keep);
  return false;
}

bool AnswerParser::StepCall(Choice& choice, bool last, v1::GenerateResponse* piece) {
  std::string& held = choice.held;
  const size_t end = syntax_.call_end.empty() ? std::string::npos : held.find(syntax_.call_end);
  if (end == std::string::npos && !last) return false;
  const std::string text = held.substr(0, end);
  std::vector<WrittenCall> calls;
  if (syntax_.calls == CallForm::kList) {
    calls = ReadCallList(text);
  } else if (syntax_.calls == CallForm::kSection) {
    calls = ReadCallSection(text, syntax_.each_call);
  } else if (std::optional<WrittenCall> call = ReadCall(text); call) {
    calls.push_back(*std::move(call));
  }
  for (const WrittenCall& call : calls) Call(choice, call, piece);
  if (calls.empty()) {
    const bool marked = !(syntax_.calls == CallForm::kWholeAnswer && TrimFront(text).starts_with('{'));
    Show(choice, (marked ? syntax_.call_begin : "") + text + (end == std::string::npos ? "" : syntax_.call_end), piece);
  }
  held.erase(0, end == std::string::npos ? held.size() : end + syntax_.call_end.size());
  choice.state = State::kText;
  return !held.empty();
}

// A call streams as it comes: its name as soon as the text says it, then the arguments.
void AnswerParser::ForcedPiece(Choice& choice, const std::string& text, bool last, v1::GenerateResponse* piece) {
  std::string arguments = text;
  if (options_.forced_function.empty()) {
    choice.forced.Add(text);
    if (!choice.forced.has_name()) {
      if (last) Show(choice, choice.forced.head(), piece);  // cut by max_tokens
      return;
    }
    arguments = choice.forced.TakeArguments();
  }
  if (choice.calls == 0) {
    const bool named = !options_.forced_function.empty();
    return Call(choice, {named ? options_.forced_function : choice.forced.name(), arguments}, piece);
  }
  if (!arguments.empty()) piece->add_tool_calls()->set_arguments_delta(arguments);
}

void AnswerParser::Show(Choice& choice, const std::string& text, v1::GenerateResponse* piece) {
  if (text.empty() || (choice.calls > 0 && !choice.shown && IsBlank(text))) return;
  choice.shown = true;
  piece->mutable_text_delta()->append(text);
}

void AnswerParser::Call(Choice& choice, const WrittenCall& call, v1::GenerateResponse* piece) {
  choice.shown = false;
  if (choice.calls > 0 && !options_.parallel) return;
  v1::ToolCallDelta* const delta = piece->add_tool_calls();
  delta->set_index(choice.calls++);
  delta->set_id(call.id.empty() ? NewId() : call.id);
  delta->set_name(call.name);
  delta->set_arguments_delta(call.arguments_json);
}

AnswerParser ParserFor(const v1::GenerateRequest& request, const ServedModel& model, bool thinks) {
  const v1::ToolChoice& choice = request.tool_choice();
  AnswerParser::Options options;
  options.thinks = thinks;
  options.forced = IsForced(choice);
  if (const int only = ForcedTool(request); options.forced && only >= 0) {
    options.forced_function = request.tools(only).name();
  }
  options.calls = !request.tools().empty() && choice.mode() != v1::ToolChoice::NONE;
  options.parallel = !request.has_parallel_tool_calls() || request.parallel_tool_calls();
  return {model.answer_syntax, options};
}

// Mistral's templates want nine letters and digits, others take anything.
std::string AnswerParser::NewId() const {
  constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string id = syntax_.calls == CallForm::kList ? "" : "call_";
  const size_t letters = syntax_.calls == CallForm::kList ? 9 : 24;
  for (size_t i = 0; i < letters; ++i) id += kLetters[SystemRandom().Below(kLetters.size())];
  return id;
}

}  // namespace headroom::gateway
