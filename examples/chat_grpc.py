"""Asks about a picture over gRPC, and prints the answer as it comes: chat_grpc.py PICTURE QUESTION"""
import os
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

# Stubs from the public API's three files. A project of its own would make them once and keep them.
proto = pathlib.Path(__file__).resolve().parents[1] / "proto"
stubs = tempfile.mkdtemp()
files = [f"headroom/v1/{name}.proto" for name in ("gateway", "cluster", "common")]
assert protoc.main(["protoc", f"-I{proto}", f"--python_out={stubs}", f"--grpc_python_out={stubs}", *files]) == 0
sys.path.insert(0, stubs)
from headroom.v1 import gateway_pb2, gateway_pb2_grpc  # noqa: E402

picture, question = sys.argv[1:]
gateway = gateway_pb2_grpc.GatewayStub(grpc.insecure_channel(os.environ.get("HEADROOM_ADDRESS", "127.0.0.1:7700")))
request = gateway_pb2.GenerateRequest()
request.sampling.temperature = 0
message = request.messages.add(role="user")
message.content.add(image=gateway_pb2.Image(data=pathlib.Path(picture).read_bytes()))
message.content.add(text=question)
for piece in gateway.Generate(request):
    print(piece.text_delta, end="", flush=True)
print()
