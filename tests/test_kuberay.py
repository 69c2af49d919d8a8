"""The manifest for the KubeRay operator: what Kubernetes' schemas and its own figures say of it.

Its CRD is not part of this project; the types of its fields are those of KubeRay's v1 API.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

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
