"""The public API from Python: stubs generated from proto/, and short ways to build requests."""
import functools
import importlib
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def _generated():
    out = pathlib.Path(tempfile.mkdtemp(prefix="headroom-proto-"))
    files = [str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "headroom" / "v1").glob("*.proto")]
    files += ["google/rpc/error_details.proto", "google/rpc/status.proto"]
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    status = protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    assert status == 0
    sys.path.insert(0, str(out))
    # google.rpc lies beside google.protobuf, which is a regular package: extend its path instead of shadowing it.
    google = importlib.import_module("google")
    google.__path__.append(str(out / "google"))
    return out


_generated()
gateway_pb2 = importlib.import_module("headroom.v1.gateway_pb2")
gateway_pb2_grpc = importlib.import_module("headroom.v1.gateway_pb2_grpc")
common_pb2 = importlib.import_module("headroom.v1.common_pb2")
cluster_pb2 = importlib.import_module("headroom.v1.cluster_pb2")
error_details_pb2 = importlib.import_module("google.rpc.error_details_pb2")
status_pb2 = importlib.import_module("google.rpc.status_pb2")

STOP = common_pb2.FINISH_REASON_STOP
LENGTH = common_pb2.FINISH_REASON_LENGTH


def channel(address):
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)])


def gateway(address):
    return gateway_pb2_grpc.GatewayStub(channel(address))


def ask(text="", images=(), system=None, **fields):
    """A request with one user message: images first, then the text. Greedy unless sampling is given."""
    request = gateway_pb2.GenerateRequest(**fields)
    if system is not None:
        message = request.messages.add(role="system")
        message.content.add(text=system)
    message = request.messages.add(role="user")
    for image in images:
        message.content.add(image=gateway_pb2.Image(data=image))
    if text:
        message.content.add(text=text)
    if not request.HasField("sampling"):
        request.sampling.temperature = 0
    return request


def collect(stream):
    """All text of a Generate stream and its finish."""
    text, finish = "", None
    for response in stream:
        assert finish is None, "nothing may follow the finish"
        text += response.text_delta
        if response.HasField("finish"):
            finish = response.finish
    assert finish is not None, "a stream that ends well says how it finished"
    return text, finish


def _details(error, kind):
    """Of an RpcError, those of one type of google.rpc."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                if detail.type_url.endswith("google.rpc." + kind.__name__):
                    yield kind.FromString(detail.value)


def error_info(error):
    """google.rpc.ErrorInfo and RetryInfo of an RpcError, where they are attached."""
    return tuple(next(_details(error, kind), None) for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo))


def wrong_field(error):
    """The field that google.rpc.BadRequest of an RpcError names; None where it names none."""
    bad = next(_details(error, error_details_pb2.BadRequest), None)
    return bad and bad.field_violations[0].field
