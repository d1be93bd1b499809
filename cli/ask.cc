// headroom ask: one question, with pictures or without, to a running cluster.
#include <grpcpp/client_context.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>

#include "cli/ask_http.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom ask";
// The gateway's default receive limit; a larger file cannot be an image that it takes.
constexpr int64_t kFileBytesMax = int64_t{20} << 20;
constexpr int64_t kTimeoutSecondsMax = 24 * 3600;

struct AskOptions {
  std::string gateway = kDefaultGateway;
  std::string url, model;
  std::vector<std::string> images;
  std::vector<std::string> stop;
  std::string system;
  std::optional<int64_t> max_tokens, min_tokens, top_k, seed, max_slice_nums, n, logprobs;
  std::optional<double> temperature, top_p, min_p, presence_penalty, frequency_penalty, timeout_seconds;
  bool ignore_eos = false;
  bool stream = false;
  bool usage = false;
};

absl::StatusOr<std::string> ReadImage(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return absl::NotFoundError(path + ": no such file");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(path + ": not a file");
  if (info.st_size > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", info.st_size, " bytes; the limit is ", kFileBytesMax));
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.good() && !file.eof()) return absl::UnknownError(path + ": cannot be read");
  return bytes;
}

// Standard input without its last newlines; as bounded as a picture.
absl::StatusOr<std::string> ReadPrompt() {
  std::string prompt(kFileBytesMax + 1, '\0');
  std::cin.read(prompt.data(), static_cast<std::streamsize>(prompt.size()));
  prompt.resize(static_cast<size_t>(std::cin.gcount()));
  if (static_cast<int64_t>(prompt.size()) > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has more than ", kFileBytesMax, " bytes"));
  }
  while (!prompt.empty() && prompt.back() == '\n') prompt.pop_back();
  return prompt;
}

void AddSampling(const AskOptions& options, v1::GenerateRequest* request) {
  v1::Sampling& sampling = *request->mutable_sampling();
  if (options.temperature) sampling.set_temperature(static_cast<float>(*options.temperature));
  if (options.top_p) sampling.set_top_p(static_cast<float>(*options.top_p));
  if (options.top_k) sampling.set_top_k(static_cast<int32_t>(*options.top_k));
  if (options.min_p) sampling.set_min_p(static_cast<float>(*options.min_p));
  if (options.presence_penalty) sampling.set_presence_penalty(static_cast<float>(*options.presence_penalty));
  if (options.frequency_penalty) sampling.set_frequency_penalty(static_cast<float>(*options.frequency_penalty));
  if (options.seed) sampling.set_seed(static_cast<uint64_t>(*options.seed));
}

absl::StatusOr<v1::GenerateRequest> BuildRequest(const AskOptions& options, const std::string& prompt) {
  v1::GenerateRequest request;
  request.set_model(options.model);
  if (!options.system.empty()) {
    v1::Message* system = request.add_messages();
    system->set_role("system");
    system->add_content()->set_text(options.system);
  }
  v1::Message* user = request.add_messages();
  user->set_role("user");
  for (const std::string& path : options.images) {
    HEADROOM_ASSIGN_OR_RETURN(*user->add_content()->mutable_image()->mutable_data(), ReadImage(path));
  }
  if (!prompt.empty()) user->add_content()->set_text(prompt);
  for (const std::string& stop : options.stop) request.add_stop(stop);
  auto in_range = [](const char* name, std::optional<int64_t> value) {
    const bool bad = value && (*value < INT32_MIN || *value > INT32_MAX);
    return bad ? absl::InvalidArgumentError(absl::StrCat("--", name, " ", *value, " is out of range"))
               : absl::OkStatus();
  };
  HEADROOM_RETURN_IF_ERROR(in_range("max-tokens", options.max_tokens));
  HEADROOM_RETURN_IF_ERROR(in_range("top-k", options.top_k));
  HEADROOM_RETURN_IF_ERROR(in_range("max-slices", options.max_slice_nums));
  HEADROOM_RETURN_IF_ERROR(in_range("min-tokens", options.min_tokens));
  HEADROOM_RETURN_IF_ERROR(in_range("n", options.n));
  HEADROOM_RETURN_IF_ERROR(in_range("logprobs", options.logprobs));
  if (options.max_tokens) request.set_max_tokens(static_cast<int32_t>(*options.max_tokens));
  if (options.max_slice_nums) request.set_max_slice_nums(static_cast<int32_t>(*options.max_slice_nums));
  if (options.min_tokens) request.set_min_tokens(static_cast<int32_t>(*options.min_tokens));
  if (options.n) request.set_n(static_cast<int32_t>(*options.n));
  if (options.logprobs) request.set_logprobs(static_cast<int32_t>(*options.logprobs));
  request.set_ignore_eos(options.ignore_eos);
  AddSampling(options, &request);
  return request;
}

void PrintUsage(const v1::Finish& finish, double first_text_seconds, double total_seconds) {
  const v1::Usage& usage = finish.usage();
  fprintf(stderr,
          "%lld prompt tokens (%lld of %lld image pieces), %lld answer tokens; first text after %.3f s, all after %.3f "
          "s%s\n",
          static_cast<long long>(usage.prompt_tokens()), static_cast<long long>(usage.image_tokens()),
          static_cast<long long>(usage.pieces()), static_cast<long long>(usage.completion_tokens()), first_text_seconds,
          total_seconds, finish.reason() == v1::FINISH_REASON_LENGTH ? "; cut at max_tokens" : "");
}

// An answer may hold any character, NUL too.
void Print(const std::string& text) {
  fwrite(text.data(), 1, text.size(), stdout);
  fflush(stdout);
}

// One line a token, on standard error: its logprob, its text, and the likeliest others.
void PrintLogprobs(const v1::GenerateResponse& response) {
  for (const v1::TokenLogprob& token : response.logprobs()) {
    fprintf(stderr, "%d %9.4f '%s'", response.choice(), static_cast<double>(token.logprob()), token.text().c_str());
    for (const v1::TokenLogprob& other : token.top()) {
      fprintf(stderr, "  %.4f '%s'", static_cast<double>(other.logprob()), other.text().c_str());
    }
    fputc('\n', stderr);
  }
}

// Several choices stand one below the other.
void PrintAnswers(const std::map<int32_t, std::string>& answers) {
  for (const auto& [choice, text] : answers) {
    if (answers.size() > 1) Print(absl::StrCat("--- choice ", choice, "\n"));
    Print(text + "\n");
  }
}

int Run(const AskOptions& options, const v1::GenerateRequest& request) {
  const auto stub = Connect(options.gateway);
  grpc::ClientContext context;
  if (options.timeout_seconds) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<int64_t>(*options.timeout_seconds * 1000)));
  }
  const auto start = std::chrono::steady_clock::now();
  auto elapsed = [start] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  double first_text_seconds = 0;
  std::map<int32_t, std::string> answers;
  const bool stream = options.stream && options.n.value_or(1) <= 1;
  v1::Finish finish;
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    if (first_text_seconds == 0 && !response.text_delta().empty()) first_text_seconds = elapsed();
    PrintLogprobs(response);
    if (stream) Print(response.text_delta());
    answers[response.choice()] += stream ? "" : response.text_delta();
    if (response.has_finish()) finish = response.finish();
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) {
    if (stream) fputc('\n', stdout);
    return Fail(kName, Explain(status, options.gateway), 1);
  }
  PrintAnswers(answers);
  if (options.usage) PrintUsage(finish, first_text_seconds, elapsed());
  return 0;
}

// The same over HTTP.
int RunOverHttp(const AskOptions& options, const v1::GenerateRequest& request) {
  std::optional<std::chrono::milliseconds> silence_max;
  if (options.timeout_seconds) {
    silence_max = std::chrono::milliseconds(static_cast<int64_t>(*options.timeout_seconds * 1000));
  }
  const auto start = std::chrono::steady_clock::now();
  auto elapsed = [start] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  double first_text_seconds = 0;
  std::string answer;
  const auto finish = AskOverHttp(options.url, options.model, request, silence_max, [&](const std::string& text) {
    if (first_text_seconds == 0) first_text_seconds = elapsed();
    if (options.stream) {
      Print(text);
    } else {
      answer += text;
    }
  });
  if (!finish.ok()) {
    if (options.stream) fputc('\n', stdout);
    return Fail(kName, options.url + ": " + std::string(finish.status().message()), 1);
  }
  Print(answer + "\n");
  if (options.usage) PrintUsage(*finish, first_text_seconds, elapsed());
  return 0;
}

}  // namespace

int Ask(const std::vector<std::string>& arguments) {
  AskOptions options;
  Flags flags("headroom ask [flags] [PROMPT…]",
              "Asks a running cluster. Without PROMPT, or with -, the prompt is read from standard input.");
  flags.Address("gateway", &options.gateway, "address of the gateway");
  flags.Text("url", &options.url, "ask over HTTP instead: http://HOST:PORT of a server with OpenAI's API");
  flags.Text("model", &options.model, "name or alias of the model; needed where several are served");
  flags.Repeated("image", &options.images, "picture (PNG, JPEG, WebP, GIF or BMP) that the question is about");
  flags.Text("system", &options.system, "system message");
  flags.Switch("stream", &options.stream, "print the answer as it comes");
  flags.Switch("usage", &options.usage, "print tokens and times on standard error");
  flags.OptionalInteger("max-tokens", &options.max_tokens, "longest answer, tokens");
  flags.OptionalInteger("max-slices", &options.max_slice_nums, "most slices of a picture");
  flags.OptionalNumber("temperature", &options.temperature, "0 is greedy");
  flags.OptionalNumber("top-p", &options.top_p, "nucleus");
  flags.OptionalInteger("top-k", &options.top_k, "most likely tokens that may be drawn");
  flags.OptionalNumber("min-p", &options.min_p, "tokens less likely than so much of the likeliest are out");
  flags.OptionalNumber("presence-penalty", &options.presence_penalty, "against tokens that the answer has");
  flags.OptionalNumber("frequency-penalty", &options.frequency_penalty, "against them, as often as it has them");
  flags.OptionalInteger("min-tokens", &options.min_tokens, "shortest answer, tokens");
  flags.Switch("ignore-eos", &options.ignore_eos, "go on where the model would end");
  flags.OptionalInteger("n", &options.n, "answers; more than one come when all are whole");
  flags.OptionalInteger("logprobs", &options.logprobs,
                        "print each token's logprob and so many of the likeliest on standard error");
  flags.OptionalInteger("seed", &options.seed,
                        "makes sampling repeatable, but for rounding that depends on what else runs");
  flags.Repeated("stop", &options.stop, "text that ends the answer");
  flags.OptionalNumber("timeout", &options.timeout_seconds, "seconds to wait for the whole answer");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (options.timeout_seconds && !(*options.timeout_seconds > 0 && *options.timeout_seconds <= kTimeoutSecondsMax)) {
    return Fail(kName, absl::StrCat("--timeout must be above 0 and at most ", kTimeoutSecondsMax, " seconds"), 2);
  }
  std::string prompt;
  for (const std::string& word : *rest) prompt += (prompt.empty() ? "" : " ") + word;
  if (prompt == "-" || (prompt.empty() && !isatty(STDIN_FILENO))) {
    const auto read = ReadPrompt();
    if (!read.ok()) return Fail(kName, std::string(read.status().message()), 2);
    prompt = *read;
  }
  if (prompt.empty() && options.images.empty())
    return Fail(kName, "nothing to ask: give a PROMPT, an --image, or both", 2);
  const auto request = BuildRequest(options, prompt);
  if (!request.ok()) return Fail(kName, std::string(request.status().message()), 2);
  return options.url.empty() ? Run(options, *request) : RunOverHttp(options, *request);
}

}  // namespace headroom::cli
