#include "llm-worker/embedding_client.h"

#include <grpcpp/client_context.h>

#include "common/rpc/status.h"
#include "headroom/v1/vision.grpc.pb.h"

namespace headroom::llm_worker {
namespace {

const char* WireName(DType dtype) { return dtype == DType::kF32 ? "float32" : "bfloat16"; }

absl::Status CheckPiece(const v1::FetchResponse& response, int64_t piece, const EmbeddingShape& shape) {
  if (response.piece() != piece) {
    return absl::InternalError(absl::StrCat("the vision-worker sent piece ", response.piece(), " for piece ", piece));
  }
  if (response.dtype() != WireName(shape.dtype)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the vision-worker computes in another type than ", WireName(shape.dtype)));
  }
  if (static_cast<int64_t>(response.data().size()) != shape.piece_bytes()) {
    return absl::InternalError(absl::StrCat("the vision-worker sent a piece of ", response.data().size(),
                                            " bytes, not ", shape.piece_bytes()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRef(const v1::EmbeddingRef& ref, const EmbeddingShape& shape) {
  if (ref.model().sha256() != shape.model) {
    return absl::FailedPreconditionError("embeddings of another model than this worker's");
  }
  if (ref.rows_per_piece() != shape.rows_per_piece || ref.columns() != shape.columns) {
    return absl::InvalidArgumentError(absl::StrCat("embeddings of ", ref.rows_per_piece(), " × ", ref.columns(),
                                                   " a piece, the model takes ", shape.rows_per_piece, " × ",
                                                   shape.columns));
  }
  if (ref.pieces() < 1) return absl::InvalidArgumentError(absl::StrCat("embeddings of ", ref.pieces(), " pieces"));
  if (ref.endpoint().empty()) return absl::InvalidArgumentError("embeddings without an endpoint");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FetchEmbeddings(rpc::ChannelDirectory& channels, const v1::EmbeddingRef& ref,
                                                         const v1::GrantId& grant, const EmbeddingShape& shape,
                                                         std::chrono::system_clock::time_point deadline,
                                                         const std::stop_token& stop) {
  const absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = channels.GetConnected(ref.endpoint(), stop);
  if (!channel.ok()) return absl::UnavailableError("the vision-worker with the embeddings is not reachable");
  const auto stub = v1::Vision::NewStub(*channel);
  grpc::ClientContext context;
  context.set_deadline(deadline);
  const std::stop_callback on_stop(stop, [&context] { context.TryCancel(); });

  v1::FetchRequest request;
  *request.mutable_ref() = ref;
  *request.mutable_grant() = grant;
  const auto reader = stub->Fetch(&context, request);
  std::vector<std::string> pieces;
  v1::FetchResponse response;
  absl::Status unexpected;
  while (unexpected.ok() && reader->Read(&response)) {
    const auto piece = static_cast<int64_t>(pieces.size());
    unexpected = piece < ref.pieces() ? CheckPiece(response, piece, shape)
                                      : absl::InternalError(absl::StrCat("more than ", ref.pieces(), " pieces"));
    if (unexpected.ok()) pieces.push_back(std::move(*response.mutable_data()));
  }
  if (!unexpected.ok()) {
    context.TryCancel();
    reader->Finish();
    return unexpected;
  }
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  if (absl::IsNotFound(status)) return absl::UnavailableError("the embeddings are not at the vision-worker any more");
  HEADROOM_RETURN_IF_ERROR(status);
  if (static_cast<int64_t>(pieces.size()) != ref.pieces()) {
    return absl::InternalError(absl::StrCat("the vision-worker sent ", pieces.size(), " of ", ref.pieces(), " pieces"));
  }
  return pieces;
}

}  // namespace headroom::llm_worker
