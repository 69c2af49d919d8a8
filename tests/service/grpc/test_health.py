"""grpc.health.v1 and reflection, by their published stubs' wire."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from service.grpc.protos import health_pb2 as health
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.fakes import WAIT_SECONDS
from tests.service.grpc.client import HEALTH, V2, Client, client_of

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


def check(client: Client, name: str) -> int:
    request = health.HealthCheckRequest(service=name)
    answer = client.raw(f"{HEALTH}/Check", request.SerializeToString())
    return int(health.HealthCheckResponse.FromString(answer).status)


def test_check(service: Service, client: Client) -> None:
    names = ["", "live", V2, "tensorflow.serving.PredictionService", MODEL_NAME]
    assert {check(client, name) for name in names} == {SERVING}
    with pytest.raises(grpc.RpcError) as raised:
        check(client, "nope")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    service.app.state.runtime.drain()
    assert [check(client, name) for name in names] == [NOT_SERVING, SERVING, *[NOT_SERVING] * 3]


def test_watch_tells_each_change(service: Service, client: Client) -> None:
    watch = client.channel.unary_stream(f"/{HEALTH}/Watch")
    answers = watch(health.HealthCheckRequest().SerializeToString(), timeout=WAIT_SECONDS)
    assert health.HealthCheckResponse.FromString(next(answers)).status == SERVING
    service.app.state.runtime.drain()
    assert health.HealthCheckResponse.FromString(next(answers)).status == NOT_SERVING
    answers.cancel()
    unknown = watch(health.HealthCheckRequest(service="nope").SerializeToString())
    assert health.HealthCheckResponse.FromString(next(unknown)).status == SERVICE_UNKNOWN
    unknown.cancel()


def test_no_key_is_needed_for_health(
    serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{'0' * 64} somebody\n")
    service = serve(grpc_port=0, api_keys_file=keys)
    with client_of(service) as client:
        assert check(client, "") == SERVING
        assert ProtoReflectionDescriptorDatabase(client.channel).get_services()


def test_reflection_has_every_service_and_its_messages(client: Client) -> None:
    database = ProtoReflectionDescriptorDatabase(client.channel)
    pool = DescriptorPool(database)
    names = database.get_services()
    assert {HEALTH, V2, "tensorflow.serving.PredictionService"} < {*names}
    methods = {one.name for one in pool.FindServiceByName(V2).methods}
    assert {"ModelInfer", "ModelStreamInfer", "ModelStatistics"} < methods
    metadata = pool.FindMessageTypeByName("tensorflow.serving.GetModelMetadataResponse")
    assert metadata.fields_by_name["metadata"].number == 2
