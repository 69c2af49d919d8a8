"""The manifests for KServe, checked against its CRDs and the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.http.routers import health
from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kserve"
# KServe's own, which are not part of this project.
CRDS = ROOT.parent / "shared" / "reference" / "clients" / "kserve-crd"
FILES = sorted(FOLDER.glob("*.yaml"))
RUNTIMES = [path for path in FILES if path.name.startswith("runtime-")]
SERVICES = [path for path in FILES if path not in RUNTIMES]


def manifest_in(path: Path) -> dict[str, Any]:
    (found,) = yaml.safe_load_all(path.read_text())
    return dict(found)


@pytest.fixture(scope="module")
def schemas() -> dict[tuple[str, str], Any]:
    """By API version and kind; what they don't know is an error, as for `kubectl --validate`."""
    if not CRDS.is_dir():
        pytest.skip(f"KServe's CRDs are not in {CRDS}")
    found = {}
    for path in CRDS.glob("*.yaml"):
        crd = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        for version in crd["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{crd['group']}/{version['name']}", crd["names"]["kind"]] = schema
    return found


def strict(schema: Any) -> Any:
    """The schema with Kubernetes' own keywords translated."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made:
        made["additionalProperties"] = bool(made.get("x-kubernetes-preserve-unknown-fields"))
    return made


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_schema_of_its_crd(path: Path, schemas: dict[tuple[str, str], Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    manifest = manifest_in(path)
    # Without a check of the schema itself, which takes seconds.
    validator = jsonschema.Draft202012Validator(schemas[manifest["apiVersion"], manifest["kind"]])
    validator.validate(manifest)
    misspelt: list[dict[str, Any]] = [
        {"spek": {}},
        {"spec": {**manifest["spec"], "protocol": "v2"}},
    ]
    for wrong in misspelt:
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**manifest, **wrong})


@pytest.mark.parametrize("path", RUNTIMES, ids=lambda path: path.name)
def test_a_runtime_sets_what_the_service_reads(path: Path) -> None:
    (container,) = manifest_in(path)["spec"]["containers"]
    # KServe finds it by this name.
    assert container["name"] == "kserve-container"
    environment = {one["name"]: one["value"] for one in container["env"]}
    names = {name.removeprefix(PREFIX).lower() for name in environment}
    assert names <= set(Settings.fields())
    assert environment["RESNET_MODELS"] == "/mnt/models"
    assert environment["RESNET_SERVED_NAME"] == "{{.Name}}"
    paths = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
        assert str(container[probe]["httpGet"]["port"]) == environment["RESNET_PORT"]
    (port,) = container["ports"]
    over_grpc = port["name"] == "h2c"
    listener = "RESNET_GRPC_PORT" if over_grpc else "RESNET_PORT"
    assert str(port["containerPort"]) == environment[listener]
    # What it writes lies on volumes: the rest is read-only.
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounts.keys() == {one["name"] for one in manifest_in(path)["spec"]["volumes"]}
    assert environment["RESNET_HOME"] == mounts["cache"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_names_a_runtime_and_a_protocol_of_it(path: Path) -> None:
    runtimes = {manifest_in(one)["metadata"]["name"]: manifest_in(one) for one in RUNTIMES}
    model = manifest_in(path)["spec"]["predictor"]["model"]
    spec = runtimes[model["runtime"]]["spec"]
    assert model["protocolVersion"] in spec["protocolVersions"]
    formats = [one["name"] for one in spec["supportedModelFormats"]]
    assert model["modelFormat"]["name"] in formats
