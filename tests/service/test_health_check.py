"""The health check of containers against real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.health_check import main
from tests.nginx import free_port
from tests.service.certificates import make_certificate, needs_openssl
from tests.service.conftest import Serve, Service, listening

HEAVY = {"typer", "pydantic", "numpy", "fastapi", "asyncio"}


def variables(port: int, **more: str) -> dict[str, str]:
    return {"RESNET_PORT": str(port), "RESNET_HOST": "0.0.0.0", **more}


@pytest.mark.parametrize("arguments", [[], ["live"], ["ready"]])
def test_a_service_that_is_well(service: Service, arguments: list[str]) -> None:
    with listening(service.app) as port:
        assert main(arguments, variables(port)) == 0


def test_one_that_drains_is_alive_and_not_ready(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.app.state.runtime.drain()
    with listening(service.app) as port:
        assert main(["live"], variables(port)) == 0
        assert main(["ready"], variables(port)) == 1
    assert capsys.readouterr().err == "/health/ready answers 503\n"


@needs_openssl
def test_a_service_with_tls(serve: Serve, tmp_path: Path) -> None:
    """The certificate is of another name."""
    cert, key = make_certificate(tmp_path)
    service = serve(tls_cert_file=cert, tls_key_file=key)
    with listening(service.app) as port:
        assert main(["ready"], variables(port, RESNET_TLS_CERT_FILE=str(cert))) == 0
        assert main(["ready"], variables(port)) == 1


@pytest.mark.parametrize(
    ("arguments", "port", "status"), [([], "", 1), ([], "many", 1), (["well"], "", 2)]
)
def test_what_is_not_well(
    arguments: list[str], port: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, {"RESNET_PORT": port or str(free_port())}) == status
    assert capsys.readouterr().err


def test_as_a_command_it_imports_little(service: Service) -> None:
    with listening(service.app) as port:
        program = "import runpy, sys; sys.argv[1:] = ['ready']\n"
        program += "try: runpy.run_module('service.health_check', run_name='__main__')\n"
        program += "except SystemExit as end: print(end.code, *sys.modules)"
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **variables(port), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
    code, *modules = ran.stdout.split()
    assert code == "0"
    assert not HEAVY & set(modules)
