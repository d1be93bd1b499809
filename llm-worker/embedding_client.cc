#include "llm-worker/embedding_client.h"

#include <grpcpp/client_context.h>

#include "common/rpc/status.h"
#include "headroom/v1/vision.grpc.pb.h"

namespace headroom::llm_worker {
namespace {

const char* WireName(DType dtype) { return dtype == DType::kF32 ? "float32" : "bfloat16"; }

// Adds the rows of a message to the pieces so far: what follows the last row, and nothing else.
absl::Status Append(const v1::FetchResponse& response, const v1::EmbeddingRef& ref, const EmbeddingShape& shape,
                    std::vector<std::string>& pieces) {
  if (response.dtype() != WireName(shape.dtype)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the vision-worker computes in another type than ", WireName(shape.dtype)));
  }
  const auto rows_of = [&](size_t piece) { return ref.piece_rows(static_cast<int>(piece)); };
  const auto rows_here = [&] { return static_cast<int64_t>(pieces.back().size()) / shape.row_bytes(); };
  if (pieces.empty() || rows_here() == rows_of(pieces.size() - 1)) {
    if (static_cast<int>(pieces.size()) == ref.piece_rows_size()) {
      return absl::InternalError(absl::StrCat("the vision-worker sent more than ", ref.piece_rows_size(), " pieces"));
    }
    pieces.emplace_back().reserve(static_cast<size_t>(rows_of(pieces.size() - 1) * shape.row_bytes()));
  }
  const size_t piece = pieces.size() - 1;
  const int64_t row = rows_here(), left = rows_of(piece) - row;
  if (response.piece() != static_cast<int64_t>(piece) || response.first_row() != row) {
    return absl::InternalError(absl::StrCat("the vision-worker sent row ", response.first_row(), " of piece ",
                                            response.piece(), " for row ", row, " of piece ", piece));
  }
  const auto bytes = static_cast<int64_t>(response.data().size());
  if (bytes == 0 || bytes % shape.row_bytes() != 0 || bytes / shape.row_bytes() > left) {
    return absl::InternalError(absl::StrCat("the vision-worker sent ", bytes, " bytes: piece ", piece, " has ", left,
                                            " rows of ", shape.row_bytes(), " bytes left"));
  }
  pieces[piece] += response.data();
  return absl::OkStatus();
}

// Every row of every piece is here.
bool IsWhole(const std::vector<std::string>& pieces, const v1::EmbeddingRef& ref, const EmbeddingShape& shape) {
  const int count = ref.piece_rows_size();
  return static_cast<int>(pieces.size()) == count &&
         static_cast<int64_t>(pieces.back().size()) == ref.piece_rows(count - 1) * shape.row_bytes();
}

}  // namespace

absl::Status CheckRef(const v1::EmbeddingRef& ref, const EmbeddingShape& shape) {
  if (ref.model().sha256() != shape.model) {
    return absl::FailedPreconditionError("embeddings of another model than this worker's");
  }
  if (ref.columns() != shape.columns) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows of ", ref.columns(), " values, the model takes ", shape.columns));
  }
  if (ref.piece_rows().empty()) return absl::InvalidArgumentError("embeddings of no piece");
  for (const int64_t rows : ref.piece_rows()) {
    if (rows < 1) return absl::InvalidArgumentError(absl::StrCat("embeddings of ", rows, " rows for a piece"));
  }
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
    unexpected = Append(response, ref, shape, pieces);
  }
  if (!unexpected.ok()) {
    context.TryCancel();
    reader->Finish();
    return unexpected;
  }
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  if (absl::IsNotFound(status)) return absl::UnavailableError("the embeddings are not at the vision-worker any more");
  HEADROOM_RETURN_IF_ERROR(status);
  if (!IsWhole(pieces, ref, shape)) {
    return absl::InternalError(
        absl::StrCat("the vision-worker sent ", pieces.size(), " of ", ref.piece_rows_size(), " pieces, or not whole"));
  }
  return pieces;
}

}  // namespace headroom::llm_worker
