"""grpc.health.v1 without its package: the two messages are one field each."""
import headroom_api as api

NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def check_health(address, timeout=30, service=""):
    call = api.channel(address).unary_unary(
        "/grpc.health.v1.Health/Check", request_serializer=lambda raw: raw, response_deserializer=lambda raw: raw)
    answer = call(bytes([0x0a, len(service)]) + service.encode() if service else b"", timeout=timeout)
    # Field 1, varint; an empty message is 0.
    return NAMES[answer[1] if answer else 0]
