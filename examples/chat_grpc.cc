// Asks about a picture over gRPC, and prints the answer as it comes: chat_grpc PICTURE QUESTION
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "headroom/v1/gateway.grpc.pb.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: chat_grpc PICTURE QUESTION\n";
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string picture(std::istreambuf_iterator<char>(file), {});
  const char* const address = std::getenv("HEADROOM_ADDRESS");

  headroom::v1::GenerateRequest request;
  request.mutable_sampling()->set_temperature(0);
  headroom::v1::Message* const message = request.add_messages();
  message->set_role("user");
  message->add_content()->mutable_image()->set_data(picture);
  message->add_content()->set_text(argv[2]);

  const auto channel =
      grpc::CreateChannel(address == nullptr ? "127.0.0.1:7700" : address, grpc::InsecureChannelCredentials());
  const auto gateway = headroom::v1::Gateway::NewStub(channel);
  grpc::ClientContext context;
  const auto pieces = gateway->Generate(&context, request);
  headroom::v1::GenerateResponse piece;
  while (pieces->Read(&piece)) std::cout << piece.text_delta() << std::flush;
  std::cout << '\n';
  const grpc::Status status = pieces->Finish();
  if (!status.ok()) std::cerr << status.error_message() << '\n';
  return status.ok() ? 0 : 1;
}
