"""The manifest for the KubeRay operator, checked against KubeRay's types and Kubernetes'."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kuberay_schema import RAY_SERVICE

MANIFEST = yaml.safe_load(
    (Path(__file__).parents[1] / "deploy" / "ray" / "rayservice.yaml").read_text()
)
CLUSTER: dict[str, Any] = MANIFEST["spec"]["rayClusterConfig"]
GROUPS: list[dict[str, Any]] = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
(WORKERS,) = CLUSTER["workerGroupSpecs"]


@pytest.mark.parametrize("group", GROUPS, ids=["head", "workers"])
def test_its_pods_have_the_schema_of_the_api(group: dict[str, Any]) -> None:
    validation = pytest.importorskip("kubernetes_validate")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
    validation.validate(pod, "1.37", strict=True)
    assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def _validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(RAY_SERVICE)


def test_its_fields_are_those_of_kuberays_types() -> None:
    _validator().validate(MANIFEST)


MISTAKES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("Additional properties", lambda spec: spec.update(serveConfig="")),
    ("is not of type 'string'", lambda spec: spec.update(serveConfigV2={"applications": []})),
    ("'headGroupSpec' is a required", lambda spec: spec["rayClusterConfig"].pop("headGroupSpec")),
    ("is not of type 'string'", lambda spec: spec["rayClusterConfig"].update(rayVersion=2.6)),
    (
        "is not of type 'string'",
        lambda spec: spec["rayClusterConfig"]["headGroupSpec"].update(
            rayStartParams={"num-cpus": 0}
        ),
    ),
    (
        "is not of type 'integer'",
        lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(maxReplicas="4"),
    ),
    (
        "Additional properties",
        lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(max_replicas=4),
    ),
]


@pytest.mark.parametrize(("message", "make"), MISTAKES)
def test_a_mistake_is_found(message: str, make: Callable[[dict[str, Any]], object]) -> None:
    manifest = copy.deepcopy(MANIFEST)
    make(manifest["spec"])
    assert message in "; ".join(one.message for one in _validator().iter_errors(manifest))


def test_there_are_as_many_workers_as_the_replicas_need() -> None:
    (application,) = yaml.safe_load(MANIFEST["spec"]["serveConfigV2"])["applications"]
    given = application["args"]
    (container,) = WORKERS["template"]["spec"]["containers"]
    cpus = int(container["resources"]["limits"]["cpu"])
    assert given["num_replicas"] * given["num_cpus"] <= WORKERS["minReplicas"] * cpus
    assert given["max_replicas"] * given["num_cpus"] == WORKERS["maxReplicas"] * cpus
    # The operator itself starts no more workers than `replicas`.
    assert CLUSTER["enableInTreeAutoscaling"] is True
    assert isinstance(CLUSTER["rayVersion"], str)
