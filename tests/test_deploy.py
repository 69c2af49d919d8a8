"""The deployment files agree with the service and with each other."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.grpc.services import streams
from service.health_check import PROBES
from service.http import headers
from service.http.connection.bounds import Bounds
from service.http.connection.descriptors import MAX_CONNECTIONS
from service.http.middleware import load_shedding
from service.http.paths import INFERENCE_ROUTES
from service.http.routers import health
from service.http.server import CUT_OFF_SECONDS
from service.observability.metrics import Metrics
from service.settings import PREFIX, SecuritySettings, Settings
from service.version import __version__

ROOT = Path(__file__).parents[1]
BYTES = {"k": 2**10, "m": 2**20, "g": 2**30}
SECONDS = {"s": 1, "m": 60, "h": 3600}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


NGINX = re.sub(r"#.*", "", text("deploy/nginx.conf"))
COMPOSE: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Of the Dockerfile, each instruction on one line: its name, and the rest.
INSTRUCTIONS: list[tuple[str, str]] = [
    (name, rest)
    for line in re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text("Dockerfile"))).splitlines()
    if line.strip()
    for name, _, rest in [line.strip().partition(" ")]
]


def stage(wanted: str) -> list[tuple[str, str]]:
    """A stage's instructions, those of the stage it is made from before them."""
    begins = {
        rest.split()[-1]: index for index, (name, rest) in enumerate(INSTRUCTIONS) if name == "FROM"
    }
    begin = begins[wanted]
    end = min((other for other in begins.values() if other > begin), default=len(INSTRUCTIONS))
    base = INSTRUCTIONS[begin][1].split()[0]
    return (stage(base) if base in begins else []) + INSTRUCTIONS[begin + 1 : end]


IMAGE = stage("serve")


def default(setting: str) -> Any:
    return Settings.fields()[setting].default


def directive(name: str) -> str:
    """The one value that nginx.conf gives it."""
    (value,) = re.findall(rf"(?m)^\s*{name}\s+([^;]+);", NGINX)
    assert isinstance(value, str)
    return value


def measure(value: str, units: dict[str, int]) -> int:
    return int(value[:-1]) * units[value[-1]]


def instructions(name: str) -> list[str]:
    """Of the default image; the stages that build for it are not meant."""
    return [rest for found, rest in IMAGE if found == name]


def image_environment() -> list[str]:
    return [one for line in instructions("ENV") for one in shlex.split(line)]


def test_nginx_takes_the_bodies_that_the_service_takes() -> None:
    assert measure(directive("client_max_body_size"), BYTES) == default("max_body_bytes")


def test_nginx_bounds_a_connection_as_the_service_does() -> None:
    bounds = Bounds.of(Settings())
    assert measure(directive("client_header_timeout"), SECONDS) == bounds.header_timeout
    assert measure(directive("send_timeout"), SECONDS) == default("write_timeout_seconds")
    buffers, size = directive("large_client_header_buffers").split()
    # nginx adds some headers.
    assert int(buffers) * measure(size, BYTES) <= bounds.max_header_bytes // 2


def test_one_client_of_nginx_does_not_take_all_connections() -> None:
    zone, requests = directive("limit_conn").split()
    assert re.search(rf"limit_conn_zone\s+\$binary_remote_addr\s+zone={zone}:", NGINX)
    at_once = int(directive("worker_connections")) // 2
    assert int(requests) <= at_once // 8
    assert int(directive("worker_rlimit_nofile")) > int(directive("worker_connections"))
    # All of them may reach one replica.
    assert int(requests) <= MAX_CONNECTIONS // 2


def test_nginx_bounds_grpc_as_it_bounds_http() -> None:
    """A message has five bytes before it."""
    locations = text("deploy/nginx.d/grpc.locations")
    (size,) = re.findall(r"(?m)^client_max_body_size ([^;]+);", locations)
    assert 5 < measure(size, BYTES) - default("max_body_bytes") <= 2**20
    (wait,) = re.findall(r"(?m)^grpc_read_timeout ([^;]+);", locations)
    assert measure(wait, SECONDS) > default("request_timeout_seconds")
    (stream_wait,) = re.findall(r"(?m)^ +grpc_read_timeout ([^;]+);", locations)
    assert measure(stream_wait, SECONDS) > streams.IDLE_SECONDS
    assert "grpc_set_header X-Forwarded-For $remote_addr;" in locations


def test_nginx_waits_longer_than_the_request_timeout() -> None:
    assert measure(directive("proxy_read_timeout"), SECONDS) > default("request_timeout_seconds")


def test_nginx_closes_idle_connections_before_the_service_does() -> None:
    idle = measure(directive("keepalive_timeout"), SECONDS)
    assert idle < default("keep_alive_timeout_seconds")


def test_nginx_repeats_a_request_once_where_a_replica_is_gone_or_busy() -> None:
    conditions = set(directive("proxy_next_upstream").split())
    assert {"error", "timeout", "http_500", "http_502", "http_503", "non_idempotent"} <= conditions
    assert directive("proxy_next_upstream_tries") == "2"


@pytest.mark.parametrize(("media_type", "name"), load_shedding.NGINX_LOCATIONS.items())
def test_nginx_sends_a_replica_s_refusal_that_is_not_repeated(media_type: str, name: bytes) -> None:
    assert re.search(rf"(?m)^\s*proxy_set_header\s+{headers.ACCEL_REFUSAL}\s+\S+;", NGINX)
    (block,) = re.findall(rf"location\s+{name.decode()}\s+{{([^}}]*)}}", NGINX)
    assert f"default_type {media_type};" in block
    refusal = headers.REFUSAL.lower().replace("-", "_")
    assert re.search(rf"return\s+503\s+\$upstream_http_{refusal};", block)
    assert re.search(r"add_header\s+Retry-After\s+\$upstream_http_retry_after\s+always;", block)


def test_the_replicas_believe_nginx_and_nobody_outside_its_network() -> None:
    """nginx writes the header anew: what a client says of itself goes no further."""
    assert re.search(r"(?m)^\s*proxy_set_header\s+X-Forwarded-For\s+\$remote_addr;", NGINX)
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert f"RESNET_TRUSTED_PROXIES={network['subnet']}" in SERVICES["resnet"]["environment"]
    (default_subnet,) = re.findall(r"^\$\{SUBNET:-(.+)\}$", network["subnet"])
    assert SecuritySettings(trusted_proxies=default_subnet).trusted_proxies == default_subnet
    assert "ports" not in SERVICES["resnet"]


def test_nginx_may_finish_its_longest_request() -> None:
    longest = measure(directive("proxy_read_timeout"), SECONDS)
    assert measure(directive("worker_shutdown_timeout"), SECONDS) > longest
    assert measure(SERVICES["nginx"]["stop_grace_period"], SECONDS) > longest


def test_a_replica_may_drain_and_finish_before_it_is_killed() -> None:
    grace_seconds = measure(SERVICES["resnet"]["stop_grace_period"], SECONDS)
    set_here = dict(one.split("=", 1) for one in SERVICES["resnet"]["environment"] if "=" in one)
    drain_seconds = float(set_here["RESNET_DRAIN_SECONDS"])
    own_end = drain_seconds + default("shutdown_timeout_seconds") + CUT_OFF_SECONDS
    assert grace_seconds > own_end


def test_there_are_replicas_to_balance() -> None:
    assert SERVICES["resnet"]["deploy"]["replicas"] >= 2


def test_nginx_and_prometheus_use_the_replicas_addresses() -> None:
    port = default("port")
    assert re.search(rf"server resnet:{port}\b", NGINX)
    (scrape,) = yaml.safe_load(text("deploy/prometheus.yml"))["scrape_configs"]
    (discovery,) = scrape["dns_sd_configs"]
    assert (discovery["names"], discovery["port"]) == (["resnet"], port)
    assert instructions("EXPOSE") == [str(port)]


def test_grafana_shows_the_dashboard_from_prometheus() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/resnet.yml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    dashboard = json.loads(text("deploy/grafana/dashboards/resnet.json"))
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}


def test_every_metric_is_in_the_table_of_metrics() -> None:
    rows = text("docs/operations.md")
    families = {family.name for family in Metrics().registry.collect()}
    ours = {name for name in families if name.startswith("resnet_")}
    assert len(ours) > 12
    for name in ours:
        assert f"`{name}" in rows, name
    named = set(re.findall(r"`(resnet_\w+)", rows))
    assert {re.sub(r"_(total|info)$", "", name) for name in named} == ours


def test_every_alert_is_in_the_table_of_alerts() -> None:
    (group,) = yaml.safe_load(text("deploy/alerts.yml"))["groups"]
    assert {rule["alert"] for rule in group["rules"]} == set(
        re.findall(r"Resnet[A-Z]\w+", text("docs/operations.md"))
    )


def test_nginx_is_published_on_the_port_it_listens_on() -> None:
    published, of_grpc = SERVICES["nginx"]["ports"]
    grpc_port = of_grpc.rpartition(":")[2]
    assert f"RESNET_GRPC_PORT={grpc_port}" in SERVICES["resnet"]["environment"]
    assert f"listen {grpc_port} http2;" in text("deploy/nginx.d/grpc.conf")
    assert f"server resnet:{grpc_port} " in text("deploy/nginx.d/grpc.conf")
    assert published.endswith(f":{directive('listen')}")


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_no_privileges_beyond_their_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        exists = (
            (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )
        assert exists, volume


def test_the_settings_in_the_container_are_settings() -> None:
    environment = [*SERVICES["resnet"]["environment"], *image_environment()]
    names = {one.partition("=")[0] for one in environment}
    ours = {name for name in names if name.startswith(PREFIX)}
    assert {"RESNET_HOME", "RESNET_HOST", "RESNET_MODELS", "RESNET_MODEL"} <= ours
    assert {name.removeprefix(PREFIX).lower() for name in ours} <= set(Settings.fields())


def test_the_cache_is_a_volume() -> None:
    (volume,) = instructions("VOLUME")
    assert f"RESNET_HOME=${{BAKED:-{volume}}}" in image_environment()
    assert SERVICES["resnet"]["volumes"] == [f"cache:{volume}"]


def test_the_container_does_not_run_as_root() -> None:
    # By number, so that Kubernetes' runAsNonRoot can tell.
    (user,) = instructions("USER")
    assert all(int(number) > 0 for number in user.split(":"))


def test_the_label_has_the_version() -> None:
    labels = dict(one.split("=", 1) for one in shlex.split(" ".join(instructions("LABEL"))))
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_command_is_a_program_without_a_shell() -> None:
    # A shell would get the signals instead.
    (entrypoint,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert json.loads(command) == ["serve"]
    (program,) = json.loads(entrypoint)
    assert program in {script.name for script in entry_points(group="console_scripts")}


def test_the_health_checks_are_the_service_s_own() -> None:
    """It knows the port and whether there is TLS."""
    (image_check,) = instructions("HEALTHCHECK")
    command = ["python", "-m", "service.health_check"]
    assert json.loads(image_check.partition("CMD ")[2]) == [*command, "live"]
    assert SERVICES["resnet"]["healthcheck"]["test"] == ["CMD", *command, "ready"]
    routes = {getattr(route, "path", "") for route in health.router.routes}
    assert {f"/health/{probe}" for probe in PROBES} <= routes


def test_what_the_image_is_made_of_exists_and_is_not_ignored() -> None:
    ignore = text(".dockerignore").splitlines()
    assert "*" in ignore
    copied = {
        source
        for name, rest in INSTRUCTIONS
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert {"requirements/serve.txt", "requirements/lite.txt", "model_builder"} <= copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignore


def test_the_dependencies_are_installed_by_their_hashes() -> None:
    installs = [rest for name, rest in INSTRUCTIONS if name == "RUN" and "-m pip" in rest]
    for lock in ("serve", "gpu", "lite"):
        assert any(f"--require-hashes -r requirements/{lock}.txt" in rest for rest in installs)
    without = [one for one in installs if "--require-hashes" not in one and "--no-deps" not in one]
    # It builds our own package and is removed again.
    assert len(without) == 1
    assert without[0].endswith("install setuptools")


def pins(name: str) -> dict[str, str]:
    """Versions by package, of a file of pinned requirements."""
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text(f"requirements/{name}.txt")))


def test_gpus_get_the_same_dependencies_and_cudas_libraries() -> None:
    more = {name for name, version in pins("gpu").items() if pins("serve").get(name) != version}
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12"} <= more
    assert all(name.startswith("nvidia-") for name in more)
    assert pins("gpu")["tensorflow"] == pins("serve")["tensorflow"]


def test_the_small_image_has_the_dependencies_without_those_of_builds() -> None:
    # Of Python 3.11 and later.
    project = pytest.importorskip("tomllib").loads(text("pyproject.toml"))
    builds = {"h5py", "huggingface_hub>=2", "keras>=3", "nncf>=3", "tensorflow>=2.21"}
    # The small image serves int8 by OpenVINO.
    builds |= {"ai-edge-litert>=2"}
    # 14 MB, and its gain does not show at the rates of these devices.
    builds |= {"uvloop; sys_platform != 'win32'"}
    assert builds < set(project["project"]["dependencies"])
    extra = set(project["project"]["optional-dependencies"]["heif"])
    assert set(project["dependency-groups"]["lite"]) == (
        (set(project["project"]["dependencies"]) - builds) | extra
    )
    locked = text("requirements/lite.txt")
    assert all(f"\n{name}==" not in locked for name in ("tensorflow", "keras", "h5py"))
    assert "\nopenvino==" in f"\n{locked}"


def test_both_images_are_the_same_service() -> None:
    lite = stage("lite")
    for name in ("USER", "ENTRYPOINT", "CMD", "HEALTHCHECK", "EXPOSE", "LABEL"):
        assert [rest for found, rest in lite if found == name] == instructions(name)


def test_what_the_small_image_leaves_out_is_there_to_be_left_out() -> None:
    """In the locked versions; a build stops where one of the patterns matches nothing."""
    packages = Path(sysconfig.get_path("purelib"))
    lines = [
        line.split("#")[0].strip() for line in text("requirements/lite-unused.txt").splitlines()
    ]
    patterns = [line.rpartition(":") for line in lines if line]
    assert len(patterns) > 15
    for machine, _, pattern in patterns:
        if machine in ("", platform.machine()):
            assert list(packages.glob(pattern)), pattern
    kept = {path for _, _, pattern in patterns for path in packages.glob(pattern)}
    assert not {path for path in kept if "_intel_cpu_" in path.name or "_ir_" in path.name}


def remove(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Runs the script that the Dockerfile runs."""
    (folder / "list").write_text("\n".join(lines) + "\n")
    return subprocess.run(
        ["sh", ROOT / "requirements" / "remove.sh", folder / "list", folder],
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_that_an_image_leaves_out_are_removed_by_pattern(tmp_path: Path) -> None:
    for name in ("a/one.so", "a/two.so.1", "a/two.txt", "b/c/three"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    machine = os.uname().machine
    done = remove(
        tmp_path, "# a comment", "", "a/*.so*  # more", f"{machine}:b/c", "other-machine:a/two.txt"
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["list", "two.txt"]


def test_a_pattern_that_matches_nothing_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    done = remove(tmp_path, "moved/*.so", "kept")
    assert done.returncode != 0
    assert "nothing matches moved/*.so" in done.stderr
    assert (tmp_path / "kept").exists()


@pytest.mark.parametrize("name", ["alerts.yml", "grafana/dashboards/resnet.json"])
def test_alerts_and_panels_of_predictions_count_every_protocol(name: str) -> None:
    matchers = re.findall(r'route(=~?)"([^"]+)"', text(f"deploy/{name}").replace('\\"', '"'))
    assert matchers
    for operator, pattern in matchers:
        assert operator == "=~"
        assert all(re.fullmatch(pattern, route) for route in INFERENCE_ROUTES)
        others = ("/models", "/v2", "/v2/models/{name}", "/v1/models/{name}", "/metrics")
        assert not any(re.fullmatch(pattern, route) for route in others)
