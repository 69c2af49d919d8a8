"""What is handed to Ray Serve, and how many replicas there are to be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

pytest.importorskip("ray.serve")

from ray.serve.schema import ServeDeploySchema

from service.integrations.ray_serve import (
    WAIT,
    Deployment,
    application,
    scale_on_wait,
)
from service.settings import Settings


def test_fields_of_the_deployment_are_told_from_settings() -> None:
    found = Deployment.of({"num_replicas": 2, "num_gpus": 1, "models": "resnet18"})
    assert found == Deployment(num_replicas=2, num_gpus=1, settings={"models": "resnet18"})


def test_a_misspelt_setting_is_refused_before_anything_is_deployed() -> None:
    with pytest.raises(TypeError, match="modles"):
        application({"modles": "resnet18"})


def test_the_service_s_own_limits_come_before_ray_s() -> None:
    options = Deployment(num_gpus=0.5).options(Settings.of(queue_limit=99))
    assert options["max_ongoing_requests"] == 99
    assert options["graceful_shutdown_timeout_s"] > Settings.of().http.shutdown_timeout_seconds
    assert options["ray_actor_options"]["num_gpus"] == 0.5
    assert options["num_replicas"] == 1


def context(waits: dict[str, float], running: int, lowest: int = 1, highest: int = 8) -> Any:
    return SimpleNamespace(
        aggregated_metrics={WAIT: waits},
        current_num_replicas=running,
        capacity_adjusted_min_replicas=lowest,
        capacity_adjusted_max_replicas=highest,
    )


@pytest.mark.parametrize(
    ("waits", "running", "wanted"),
    [
        ({}, 2, 2),
        ({"a": 0.05, "b": 0.06}, 2, 2),
        ({"a": 0.0, "b": 0.01}, 2, 1),
        ({"a": 0.0}, 1, 1),
        ({"a": 0.3, "b": 0.1}, 2, 4),
        ({"a": 5.0}, 3, 6),
        ({"a": 5.0}, 6, 8),
    ],
)
def test_replicas_follow_the_mean_wait(waits: dict[str, float], running: int, wanted: int) -> None:
    assert scale_on_wait(context(waits, running)) == (wanted, {})


def test_the_manifest_s_applications_are_ray_s_and_their_args_ours() -> None:
    path = Path(__file__).parents[3] / "deploy" / "ray" / "rayservice.yaml"
    manifest = yaml.safe_load(path.read_text())
    config = ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"]))
    (deployed,) = config.applications
    assert deployed.import_path == "service.integrations.ray_serve:application"
    assert application(deployed.args)
