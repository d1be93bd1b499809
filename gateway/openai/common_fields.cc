#include "gateway/openai/common_fields.h"

namespace headroom::gateway::openai {
namespace {

using enum Handling;

constexpr double kInt32Max = 2147483647;
constexpr double kSeedMin = -9223372036854775808.0;
constexpr double kSeedMax = 18446744073709551615.0;

}  // namespace

Fields Join(std::initializer_list<Fields> lists) {
  Fields all;
  for (const Fields& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

Fields ModelField() {
  return {{"model", kString, "a name or alias of /v1/models; may be left out where one model is served"}};
}

Fields SamplingFields() {
  return {
      {"temperature", kNumber, "0 is greedy", kDone, false, 0, 2},
      {"top_p", kNumber, "", kDone, false, 0, 1, true},
      {"top_k", kInteger, "0 and -1 are off", kDone, false, -1, 1048576},
      {"min_p", kNumber, "0 is off", kDone, false, 0, 1},
      {"repetition_penalty", kNumber, "1 is off", kDone, false, 0, 2, true},
      {"presence_penalty", kNumber, "", kDone, false, -2, 2},
      {"frequency_penalty", kNumber, "", kDone, false, -2, 2},
      {"seed", kInteger, "the same seed, the same answer; absent: a random one", kDone, false, kSeedMin, kSeedMax},
      {"logit_bias", kObject, "token id to a number in [-100, 100]", kDone, false, 0, 1024},
      {"min_tokens", kInteger, "no end of the answer before", kDone, false, 0, kInt32Max},
      {"ignore_eos", kBoolean, "the answer goes on to max_tokens"},
      {"stop_token_ids", kArray, "tokens that end the answer", kDone, false, 0, 64, false, "", kInteger},
  };
}

Fields StreamFields() {
  static const Shape options{"StreamOptions",
                             {{"include_usage", kBoolean, "a last chunk without choices carries the usage"},
                              {"include_obfuscation", kBoolean, "", kInert}}};
  return {
      {"stream", kBoolean, "server-sent events"},
      {.name = "stream_options", .types = kObject, .help = "", .shape = &options},
  };
}

Fields StopFields() {
  return {{.name = "stop",
           .types = kString | kArray,
           .help = "at most 8 strings of 1 to 128 bytes; never part of the answer",
           .least = 0,
           .most = 8,
           .items = kString}};
}

Fields ExtensionFields() {
  return {
      {"priority", kInteger, "higher goes first", kDone, false, -8, 8},
      {"request_id", kString, "at most 128 printable ASCII characters without spaces; absent: x-request-id"},
  };
}

Fields InertFields() {
  return {
      {"user", kString, "", kInert},
      {"metadata", kObject, "", kInert},
      {"safety_identifier", kString, "", kInert},
      {"prompt_cache_key", kString, "", kInert},
      {"prompt_cache_options", kObject, "", kInert},
      {"prompt_cache_retention", kString, "", kInert},
      {.name = "service_tier", .types = kString, .help = "", .handling = kInert, .values = "auto|default"},
      {.name = "store", .types = kBoolean, .help = "nothing is stored", .handling = kInert, .values = "false"},
  };
}

Fields Refused(std::initializer_list<std::pair<const char*, const char*>> names) {
  Fields fields;
  for (const auto& [name, why] : names) fields.push_back({name, kAny, why, kRefused});
  return fields;
}

Fields RefusedEverywhere() {
  return Refused({{"chat_template", "callers pass no template"},
                  {"mm_processor_kwargs", "max_slice_nums is the field for that"},
                  {"guided_json", "response_format is the field for that"},
                  {"guided_regex", "JSON alone is constrained"},
                  {"guided_choice", "JSON alone is constrained"},
                  {"guided_grammar", "JSON alone is constrained"},
                  {"structured_outputs", "response_format is the field for that"},
                  {"regex", "JSON alone is constrained"},
                  {"ebnf", "JSON alone is constrained"},
                  {"best_of", "n is the field for several answers"},
                  {"use_beam_search", "answers are sampled"},
                  {"length_penalty", "answers are sampled"},
                  {"cache_salt", "nothing is shared between requests"},
                  {"echo", "the answer never repeats the prompt"},
                  {"suffix", "no model here fills in"}});
}

}  // namespace headroom::gateway::openai
