#include "gateway/embedder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "admission/price.h"
#include "common/embedding_pages.h"
#include "common/log.h"
#include "gateway/image_pricer.h"
#include "gateway/out_of_range.h"
#include "model/request_limits.h"

namespace headroom::gateway {
namespace {

// Of each number of the rows that are on their way: as the worker sent it and as float32, 8 bytes; as text of JSON
// with a comma and as the part of a message that carries it, at most 17 each.
constexpr int64_t kBytesPerValue = 42;

absl::Status Cancelled() { return absl::CancelledError("the request was cancelled"); }

struct PreparedEmbedding {
  std::vector<v1::PricedImage> images;
  std::vector<const std::string*> image_bytes;  // point into the request
  admission::Price price;
  int64_t columns = 0;       // of a row
  int64_t message_rows = 0;  // fetched at once, at most
  v1::Usage usage;
};

// Rows that are on their way at a time, at most.
int64_t LargestMessage(const PreparedEmbedding& prepared) {
  int64_t rows = 0;
  for (const v1::PricedImage& image : prepared.images) {
    for (const int64_t of_piece : image.piece_rows()) rows = std::max(rows, of_piece);
  }
  return std::min(rows, prepared.message_rows);
}

absl::StatusOr<PreparedEmbedding> PrepareImages(const v1::EmbedRequest& request, const ServedModel& model,
                                                const GatewaySection& config, const ClusterLimits& limits) {
  if (request.priority() < admission::kPriorityMin || request.priority() > admission::kPriorityMax) {
    return OutOfRange("priority", request.priority(),
                      absl::StrCat("in [", admission::kPriorityMin, ", ", admission::kPriorityMax, "]"));
  }
  std::optional<int32_t> max_slice_nums;
  if (request.has_max_slice_nums()) max_slice_nums = request.max_slice_nums();
  if (request.images().empty()) return absl::InvalidArgumentError("images: there are none; at least 1 is needed");
  ImagePricer pricer(max_slice_nums, model, config, limits);
  for (const v1::Image& image : request.images()) HEADROOM_RETURN_IF_ERROR(pricer.Add(image).status());

  PreparedEmbedding prepared;
  prepared.images = pricer.images();
  prepared.image_bytes = pricer.image_bytes();
  prepared.columns = model.config.llm.hidden_size;
  prepared.message_rows = EmbeddingMessageRows(limits.embedding_row_bytes);
  admission::PriceInput input = pricer.input();
  input.embedding_row_bytes = limits.embedding_row_bytes;
  HEADROOM_ASSIGN_OR_RETURN(prepared.price, admission::ComputeVisionPrice(input));
  prepared.usage.set_images(input.images);
  prepared.usage.set_pieces(input.pieces);
  prepared.usage.set_image_tokens(input.image_tokens);
  prepared.usage.set_prompt_tokens(input.image_tokens);
  return prepared;
}

// As float32, little endian like what came.
absl::Status ToFloat32(const v1::FetchResponse& fetched, int64_t values, std::string* bytes) {
  static_assert(std::endian::native == std::endian::little);
  const auto count = static_cast<size_t>(values);
  if (fetched.dtype() == "float32" && fetched.data().size() == count * sizeof(float)) {
    *bytes = fetched.data();
    return absl::OkStatus();
  }
  if (fetched.dtype() != "bfloat16" || fetched.data().size() != count * sizeof(uint16_t)) {
    return absl::InternalError("the vision-worker sent rows of another type or number");
  }
  bytes->assign(count * sizeof(float), '\0');
  for (size_t i = 0; i < count; ++i) {
    // bfloat16 is the upper half of a float32.
    std::memcpy(bytes->data() + i * sizeof(float) + 2, fetched.data().data() + i * sizeof(uint16_t), sizeof(uint16_t));
  }
  return absl::OkStatus();
}

}  // namespace

struct Embedder::Progress {
  const std::string& request_id;
  const CallScope& scope;
  const ServedModel& model;
  const PreparedEmbedding& prepared;
  const v1::RequestContext& context;
  Delivery<v1::EmbedResponse>& rows;
  Attempts attempts = {};
  v1::EmbedResponse piece = {};  // the latest, not handed on before there is another one
  bool begun = false;            // there is one
};

Task<absl::StatusOr<v1::EmbedResponse>> Embedder::Run(const v1::EmbedRequest& request, const std::string& request_id,
                                                      const CallScope& scope, Delivery<v1::EmbedResponse>& rows,
                                                      RequestTimes& times) const {
  HEADROOM_CO_ASSIGN_OR_RETURN(const ServedModel* const model, parts_.models.Find(request.model()));
  HEADROOM_CO_ASSIGN_OR_RETURN(const ClusterLimits limits, parts_.cluster.Limits(*model));
  HEADROOM_CO_ASSIGN_OR_RETURN(const PreparedEmbedding prepared, PrepareImages(request, *model, parts_.config, limits));
  HEADROOM_CO_ASSIGN_OR_RETURN(const HostBudget::Share bytes,
                               parts_.host_budget.Take(LargestMessage(prepared) * prepared.columns * kBytesPerValue));
  co_await parts_.executor.Switch();

  v1::RequestContext context;
  context.set_request_id(request_id);
  context.set_priority(request.priority());
  Progress progress{request_id, scope, *model, prepared, context, rows};
  const TimePoint started = parts_.clock.Now();
  while (true) {
    progress.attempts.Begin();
    const ReservationRequest wanted{context, *model, prepared.price, progress.attempts, scope, started};
    const auto grant = co_await reservations_.Reserve(wanted);
    if (!grant.ok()) co_return grant.status();
    if (!progress.attempts.moved()) times.queued_seconds = Seconds(parts_.clock.Now() - started);
    rows.Granted();
    const absl::Status status = co_await Work(**grant, progress);
    (co_await parts_.grants.Release(**grant)).IgnoreError();  // what does not come back expires
    if (status.ok()) break;
    if (scope.stop.stop_requested()) co_return Cancelled();
    if (!progress.attempts.Move(status, false)) co_return status;
    Log(LogLevel::kWarning, "gateway", "request asks for a new grant")
        .With("request", request_id)
        .With("from", progress.attempts.failed_worker());
  }
  *progress.piece.mutable_finish()->mutable_usage() = prepared.usage;
  progress.piece.mutable_finish()->set_request_id(request_id);
  co_return std::move(progress.piece);
}

// The stream of the encoding stays open, and its embeddings pinned, until the last piece has been fetched.
Task<absl::Status> Embedder::Work(HeldGrant& grant, Progress& progress) const {
  const admission::Leg* leg = grant.Find(admission::Role::kVision);
  if (leg == nullptr) co_return absl::InternalError("the grant has no vision leg");
  v1::EncodeStart start;
  *start.mutable_context() = progress.context;
  HEADROOM_CO_ASSIGN_OR_RETURN(*start.mutable_grant(), grant.Forward());
  start.mutable_model()->set_sha256(progress.model.fingerprint);
  start.mutable_images()->Assign(progress.prepared.images.begin(), progress.prepared.images.end());
  const auto encoding = co_await parts_.peers.OpenEncoding(leg->endpoint, start, progress.scope);
  if (!encoding.ok()) co_return progress.attempts.Failed(*leg, encoding.status(), false);
  absl::Status status = co_await (*encoding)->Encode(progress.prepared.image_bytes);
  if (!status.ok()) {
    (co_await (*encoding)->End()).IgnoreError();
    co_return progress.attempts.Failed(*leg, status, (*encoding)->accepted());
  }
  grant.MarkActivated(admission::Role::kVision);
  for (const v1::ImageEncoded& image : (*encoding)->encoded()) {
    status = co_await HandOn(*leg, image, progress);
    if (!status.ok()) break;
  }
  if (status.ok()) (*encoding)->Close();
  (co_await (*encoding)->End()).IgnoreError();
  co_return status;
}

// Each message is a call of its own: a client that reads slowly holds none of those that a vision-worker answers at
// once.
Task<absl::Status> Embedder::HandOn(const admission::Leg& leg, const v1::ImageEncoded& image,
                                    Progress& progress) const {
  const PreparedEmbedding& prepared = progress.prepared;
  v1::EmbedResponse& piece = progress.piece;
  const auto& piece_rows = prepared.images[static_cast<size_t>(image.image())].piece_rows();
  v1::FetchRequest request;
  *request.mutable_ref() = image.ref();
  for (int next = 0; next < piece_rows.size(); ++next) {
    for (int64_t row = 0, rows = 0; row < piece_rows[next]; row += rows) {
      if (std::exchange(progress.begun, true)) {
        const bool taken = co_await progress.rows.Piece(piece);
        if (!taken) co_return absl::CancelledError("the client reads no more");
      }
      rows = std::min(prepared.message_rows, piece_rows[next] - row);
      request.set_first_piece(next);
      request.set_first_row(row);
      request.set_rows(rows);
      const auto fetched = co_await parts_.peers.FetchRows(leg.endpoint, request, progress.scope);
      if (!fetched.ok()) co_return fetched.status();
      if (fetched->piece() != next || fetched->first_row() != row) {
        co_return absl::InternalError("the vision-worker sent other rows");
      }
      HEADROOM_CO_RETURN_IF_ERROR(ToFloat32(*fetched, rows * prepared.columns, piece.mutable_values()));
      piece.set_image(image.image());
      *piece.mutable_piece_rows() = piece_rows;
      piece.set_piece(next);
      piece.set_first_row(row);
      piece.set_columns(prepared.columns);
    }
  }
  co_return absl::OkStatus();
}

}  // namespace headroom::gateway
