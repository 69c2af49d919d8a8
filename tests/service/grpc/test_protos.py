"""The messages: made from the .proto files, and in a pool of their own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import service.errors
from service.errors import HeaderTooLarge, InferenceFailed, ServiceError, TargetTooLong
from service.grpc.errors import STATUS
from tests.interpreter import modules_after

PROTOS = Path(__file__).parents[3] / "service/grpc/protos"
MADE = ("descriptors.binpb", "health_pb2.pyi", "inference_pb2.pyi", "serving_pb2.pyi")


def test_the_files_are_those_that_make_protos_makes(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed: `make .venv/.dev`")
    subprocess.run(
        ["sh", str(PROTOS / "generate.sh"), sys.executable, str(tmp_path)], check=True, timeout=120
    )
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (PROTOS / name).read_bytes(), name


def test_a_client_with_messages_of_the_same_names_fits_beside() -> None:
    """Of tritonclient and KServe's SDK, which take the names in protobuf's default pool."""
    code = """
from google.protobuf import descriptor_pb2, descriptor_pool
from service.grpc.protos import inference_pb2
theirs = descriptor_pb2.FileDescriptorProto(name="grpc_service.proto", package="inference")
theirs.message_type.add(name="ServerLiveRequest")
theirs.message_type.add(name="ModelInferRequest")
descriptor_pool.Default().AddSerializedFile(theirs.SerializeToString())
assert inference_pb2.ModelInferRequest(id="x").SerializeToString()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_service_without_grpc_imports_none_of_it() -> None:
    assert not {"grpc", "google.protobuf"} & modules_after("import service.http.app")


def test_every_error_has_a_status() -> None:
    of_http = {HeaderTooLarge, TargetTooLong}
    kinds = [
        kind
        for kind in vars(service.errors).values()
        if isinstance(kind, type) and issubclass(kind, ServiceError)
    ]
    for kind in kinds:
        found = next(STATUS[base] for base in kind.__mro__ if base in STATUS)
        inner = kind in (ServiceError, *of_http) or issubclass(kind, InferenceFailed)
        assert (found.name == "INTERNAL") == inner, kind
