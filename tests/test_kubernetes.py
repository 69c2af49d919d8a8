"""The manifests, checked against the API's schemas and the service."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.http.routers import health
from service.http.server import CUT_OFF_SECONDS
from service.settings import PREFIX, Settings

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"
# The oldest release with a preStop that sleeps by default, and the newest.
RELEASES = ("1.30", "1.37")
CUSTOM = {"ServiceMonitor", "ScaledObject"}


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """What the kustomization lists, by kind."""
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    found = [yaml.safe_load((folder / name).read_text()) for name in names]
    return {one["kind"]: one for one in found}


BASE = manifests(FOLDER / "base")
MONITOR = manifests(FOLDER / "monitoring")["ServiceMonitor"]
SCALED = manifests(FOLDER / "scaling")["ScaledObject"]
POD: dict[str, Any] = BASE["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRONMENT: dict[str, str] = {one["name"]: one["value"] for one in CONTAINER["env"]}
LABELS = {"app.kubernetes.io/name": "resnet"}
needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", BASE)
def test_the_schema_of_the_api(kind: str, release: str) -> None:
    validation = pytest.importorskip("kubernetes_validate")
    manifest = BASE[kind]
    if kind == "Deployment":
        # kustomize writes both from its labels.
        spec = {**manifest["spec"], "selector": {"matchLabels": LABELS}}
        manifest = {**manifest, "spec": spec}
    validation.validate(manifest, release, strict=True)
    with pytest.raises(validation.ValidationError):
        validation.validate({**manifest, "spek": {}}, release, strict=True)


@needs_kubectl
@pytest.mark.parametrize("folder", ["base", "production"])
def test_kustomize_renders_valid_manifests(folder: str) -> None:
    validation = pytest.importorskip("kubernetes_validate")
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    kinds = {one["kind"] for one in rendered}
    assert kinds == set(BASE) | (CUSTOM if folder == "production" else set())
    for one in rendered:
        if one["kind"] not in CUSTOM:
            validation.validate(one, RELEASES[-1], strict=True)
    (deployment,) = (one for one in rendered if one["kind"] == "Deployment")
    assert deployment["spec"]["selector"]["matchLabels"] == LABELS
    assert ("replicas" in deployment["spec"]) is (folder == "base")
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    names = {one["name"].removeprefix(PREFIX).lower() for one in environment}
    assert names <= set(Settings.fields())
    assert ("trusted_proxies" in names) is (folder == "production")


def with_component(name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """The base with one component, rendered and valid, by kind."""
    validation = pytest.importorskip("kubernetes_validate")
    shutil.copytree(FOLDER, folder / "all")
    overlay = folder / "all" / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(f"resources: [../base]\ncomponents: [../{name}]\n")
    done = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rendered = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    for one in rendered.values():
        validation.validate(one, RELEASES[-1], strict=True)
    return rendered


@needs_kubectl
def test_the_component_of_grpc(tmp_path: Path) -> None:
    rendered = with_component("grpc", tmp_path)
    container = rendered["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    environment = {one["name"]: one["value"] for one in container["env"]}
    port = int(environment["RESNET_GRPC_PORT"])
    assert {"name": "grpc", "containerPort": port} in container["ports"]
    assert container["readinessProbe"]["grpc"] == {"port": port}
    # Its listener is closed while the service is not ready.
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert [one["name"] for one in rendered["Service"]["spec"]["ports"]] == ["http", "grpc"]
    allowed = rendered["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    assert {"protocol": "TCP", "port": "grpc"} in allowed


@needs_kubectl
def test_the_component_of_an_autoscaler_without_keda(tmp_path: Path) -> None:
    rendered = with_component("hpa", tmp_path)
    scaler = rendered["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == rendered["Deployment"]["metadata"]["name"]
    assert "replicas" not in rendered["Deployment"]["spec"]
    (metric,) = scaler["metrics"]
    # The name that prometheus-adapter gives to what its rule computes.
    (rule,) = yaml.safe_load((FOLDER / "hpa" / "adapter-rule.yaml").read_text())
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert "resnet_queue_wait_seconds_sum" in rule["metricsQuery"]


@needs_kubectl
def test_the_component_of_an_artifact_on_a_volume(tmp_path: Path) -> None:
    pod = with_component("artifact", tmp_path)["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    assert mounts["artifact"]["mountPath"] == environment["RESNET_MODELS"]
    assert mounts["artifact"]["readOnly"] is True
    (volume,) = (one for one in pod["volumes"] if one["name"] == "artifact")
    assert volume["image"]["reference"]


def test_a_pod_may_drain_and_finish_before_it_is_killed() -> None:
    own_end = (
        CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
        + float(ENVIRONMENT["RESNET_DRAIN_SECONDS"])
        + Settings.fields()["shutdown_timeout_seconds"].default
        + CUT_OFF_SECONDS
    )
    assert POD["terminationGracePeriodSeconds"] > own_end


def test_the_probes_use_the_service_s_paths() -> None:
    asked = {
        name: CONTAINER[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert asked == {
        "startup": "/health/ready",
        "readiness": "/health/ready",
        "liveness": "/health/live",
    }
    assert set(asked.values()) <= {getattr(route, "path", "") for route in health.router.routes}


def test_the_environment_is_made_of_settings() -> None:
    names = {name.removeprefix(PREFIX).lower() for name in ENVIRONMENT if name.startswith(PREFIX)}
    assert names
    assert names <= set(Settings.fields())


def test_a_container_has_no_privileges_beyond_its_needs() -> None:
    security = CONTAINER["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} == set(CONTAINER["resources"]["limits"])


def test_all_manifests_name_the_same_port_and_pods() -> None:
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == Settings.fields()["port"].default
    (published,) = BASE["Service"]["spec"]["ports"]
    (endpoint,) = MONITOR["spec"]["endpoints"]
    assert published["targetPort"] == port["name"]
    assert endpoint["port"] == published["name"]
    assert endpoint["path"] == "/metrics"
    assert BASE["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABELS
    assert BASE["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS
    assert MONITOR["spec"]["selector"]["matchLabels"] == LABELS
    assert SCALED["spec"]["scaleTargetRef"]["name"] == BASE["Deployment"]["metadata"]["name"]


def test_scaling_uses_the_wait_and_not_the_cpu() -> None:
    (trigger,) = SCALED["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert "resnet_queue_wait_seconds" in trigger["metadata"]["query"]
    assert SCALED["spec"]["minReplicaCount"] >= 2
