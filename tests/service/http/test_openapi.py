"""The API as it describes itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from service.auth.api_keys import hash_of
from service.errors import ServiceError
from service.http.app import create_app
from service.http.paths import EMBEDDINGS, needs_key
from service.http.problem_details import status_of, status_on
from service.http.protocols.errors import statuses_on
from service.http.schemas import OneImage, Problem, SeveralImages
from service.settings import Settings
from service.version import __version__

PROBLEM = "application/problem+json"


def described(settings: Settings) -> dict[str, Any]:
    return create_app(settings, load=lambda _: pytest.fail("nothing is to be loaded")).openapi()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return described(Settings())


@pytest.fixture(scope="module")
def predict(document: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = document["paths"]["/predict"]["post"]
    return operation


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def test_what_it_is(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "ResNet server"
    assert document["info"]["version"] == __version__


def test_every_route_is_described(document: dict[str, Any]) -> None:
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        ("POST", "/predict"),
        ("POST", "/v1/embeddings"),
        ("GET", "/models"),
        ("GET", "/models/{name}"),
        ("GET", "/models/{name}/labels"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        ("GET", "/v2/models"),
        ("GET", "/v2/models/stats"),
        ("GET", "/v2/models/{name}"),
        ("GET", "/v2/models/{name}/config"),
        ("GET", "/v2/models/{name}/ready"),
        ("GET", "/v2/models/{name}/stats"),
        ("POST", "/v2/models/{name}/infer"),
        ("POST", "/v2/repository/index"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{name}"),
        ("GET", "/v1/models/{name}/metadata"),
        ("POST", "/v1/models/{name}:predict"),
        ("POST", "/v1/models/{name}:classify"),
    }
    for operation in operations.values():
        assert operation["summary"]
        assert all(response["description"] for response in operation["responses"].values())
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in nodes(document) if "$ref" in node}
    assert references
    schemas = document["components"]["schemas"]
    assert references <= {f"#/components/schemas/{name}" for name in schemas}


def test_path_parameters_are_declared(document: dict[str, Any]) -> None:
    (parameter,) = document["paths"]["/models/{name}"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("name", "path", True)


def test_every_error_is_the_protocols(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if statuses_on(path) is not None:
                assert_tensor_errors(operation, path)
                continue
            seen: set[str] = set()
            for status, response in operation["responses"].items():
                if status != "200":
                    schema = {"$ref": "#/components/schemas/Problem"}
                    (media_type,) = response["content"]
                    assert media_type == PROBLEM
                    found = response["content"][PROBLEM]
                    assert found["schema"] == schema
                    assert str(found["example"]["status"]) == status
                    assert found["example"]["code"] not in seen
                    seen.add(found["example"]["code"])


def assert_tensor_errors(operation: dict[str, Any], path: str) -> None:
    schema = "OpenAIError" if path == EMBEDDINGS else "TensorError"
    for status, response in operation["responses"].items():
        if status != "200":
            (content,) = response["content"].values()
            assert [*response["content"]] == ["application/json"]
            assert content["schema"] == {"$ref": f"#/components/schemas/{schema}"}
            assert [*content["example"]] == ["error"]


def classes_below(kind: type[ServiceError]) -> set[type[ServiceError]]:
    return {kind}.union(*map(classes_below, kind.__subclasses__()))


def test_predict_documents_every_status_that_an_error_has(predict: dict[str, Any]) -> None:
    statuses = {str(status_of(kind)) for kind in classes_below(ServiceError)}
    assert set(predict["responses"]) == {"200"} | statuses


def test_inference_documents_every_status_that_an_error_has(document: dict[str, Any]) -> None:
    for path in ("/v2/models/{name}/infer", "/v1/models/{name}:predict", EMBEDDINGS):
        statuses = {str(status_on(path, kind)) for kind in classes_below(ServiceError)}
        assert set(document["paths"][path]["post"]["responses"]) == {"200"} | statuses


def test_predicts_examples_are_what_it_answers(predict: dict[str, Any]) -> None:
    content = predict["responses"]["200"]["content"]["application/json"]
    references = {one["$ref"].rpartition("/")[2] for one in content["schema"]["anyOf"]}
    assert references == {"OneImage", "SeveralImages"}
    examples = {name: example["value"] for name, example in content["examples"].items()}
    OneImage.model_validate(examples["one image"], extra="forbid")
    several = SeveralImages.model_validate(examples["several images"], extra="forbid")
    assert [result.error is None for result in several.results] == [True, False]


def test_the_problems_example_is_one(document: dict[str, Any]) -> None:
    example = document["components"]["schemas"]["Problem"]["example"]
    TypeAdapter(Problem).validate_python(example, extra="forbid")


def test_predict_takes_a_form_or_a_raw_image(predict: dict[str, Any]) -> None:
    body = predict["requestBody"]
    assert body["required"] is True
    image = {"type": "string", "format": "binary"}
    form = body["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["properties"]["file"]["items"] == image
    assert body["content"]["image/*"]["schema"] == image


@pytest.mark.parametrize("max_files", [1, 100])
def test_as_many_images_are_announced_as_are_taken(max_files: int) -> None:
    operation = described(Settings.of(max_files=max_files))["paths"]["/predict"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["maxItems"] == max_files
    assert f"one to {max_files} as multipart parts" in operation["description"]


def test_predicts_parameters(predict: dict[str, Any]) -> None:
    parameters = {parameter["name"]: parameter for parameter in predict["parameters"]}
    options = {"outputs", "classes", "normalized", "encoding_format", "overlay", "abstain_below"}
    assert set(parameters) == {"model", "top_k", "X-Request-Timeout-Ms", *options}
    for body in predict["requestBody"]["content"]["application/json"]["schema"]["oneOf"]:
        assert body["properties"].keys() >= options
    assert not any(parameter["required"] for parameter in parameters.values())
    (integer, _) = parameters["top_k"]["schema"]["anyOf"]
    assert integer["minimum"] == 1


def test_the_schemes_of_api_keys(tmp_path: Path) -> None:
    """Where keys are configured, on each operation that needs one and on no other."""
    keys = tmp_path / "keys"
    keys.write_text(f"{hash_of('alpha')} shop\n")
    document = described(Settings.of(api_keys_file=keys))
    assert document["components"]["securitySchemes"] == {
        "HTTPBearer": {"type": "http", "scheme": "bearer"},
        "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            # Either one is enough.
            wanted: Any = [{"HTTPBearer": []}, {"APIKeyHeader": []}] if needs_key(path) else None
            assert operation.get("security") == wanted, path


def test_without_keys_no_scheme_is_announced(document: dict[str, Any]) -> None:
    assert "securitySchemes" not in document["components"]


def test_what_is_deprecated_is_marked(document: dict[str, Any]) -> None:
    marked = {
        (name, member)
        for name, schema in document["components"]["schemas"].items()
        for member, described in schema.get("properties", {}).items()
        if described.get("deprecated")
    }
    assert marked == {("Measured", "pictures"), ("ModelBody", "multiply_adds")}
