// Tells apart, in the text of an answer, what the model thinks, what it says and which tools it calls.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gateway/answer_syntax.h"
#include "gateway/call_stream.h"
#include "gateway/call_text.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// One per request; used by one thread at a time. What may still become a marker is held back until it cannot, a call
// until it is whole; text between markers that is no call stays text, its markers with it.
class AnswerParser {
 public:
  struct Options {
    bool thinks = false;               // the prompt ended inside of a reasoning
    bool calls = false;                // tools are given, and calling them is up to the model
    bool forced = false;               // the whole answer is a call, by a constraint (ForcedCallSchema)
    std::string forced_function = {};  // then: the only one; empty: the answer says which
    bool parallel = true;              // else the first call is the only one
  };
  // `syntax` must outlive this.
  AnswerParser(const AnswerSyntax& syntax, Options options) : syntax_(syntax), options_(std::move(options)) {}

  // In place: text_delta becomes what of it and of what was held may be shown; with `finish` everything that was held.
  // An answer with calls that ended well finishes as TOOL_CALLS. Nothing may be left in the piece.
  void Parse(v1::GenerateResponse* piece);

 private:
  enum class State { kBegin, kReasoning, kAnswerBegin, kText, kCall };

  struct Choice {
    State state;
    std::string held = {};
    CallStream forced = {};
    int calls = 0;
    bool shown = false;      // some text was, since the last call
    bool trim_next = false;  // white space that comes next belongs to the marker before
    bool answers = false;    // the marker of the answer's end is still to come
  };

  void Step(Choice& choice, bool last, v1::GenerateResponse* piece);
  bool StepOnce(Choice& choice, bool last, v1::GenerateResponse* piece);
  bool StepBegin(Choice& choice, bool last);
  bool StepReasoning(Choice& choice, bool last, v1::GenerateResponse* piece);
  bool StepAnswerBegin(Choice& choice, bool last);
  bool StepText(Choice& choice, bool last, v1::GenerateResponse* piece);
  bool calls_read() const { return options_.calls && syntax_.calls != CallForm::kNone; }
  size_t MayBecomeMark(const Choice& choice) const;
  bool StepCall(Choice& choice, bool last, v1::GenerateResponse* piece);
  void ForcedPiece(Choice& choice, const std::string& text, bool last, v1::GenerateResponse* piece);
  void Show(Choice& choice, const std::string& text, v1::GenerateResponse* piece);
  void Call(Choice& choice, const WrittenCall& call, v1::GenerateResponse* piece);
  std::string NewId() const;
  Choice& ChoiceAt(int index);

  const AnswerSyntax& syntax_;
  const Options options_;
  std::map<int, Choice> choices_;
};

// For a request that chose `model`. `thinks`: its prompt ends inside of a reasoning.
AnswerParser ParserFor(const v1::GenerateRequest& request, const ServedModel& model, bool thinks);

}  // namespace headroom::gateway
