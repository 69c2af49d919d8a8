"""resnet ray deploy."""

from __future__ import annotations

import os
import signal
from typing import Annotated, Any

import typer

from service.cli.options import end, settings_with
from service.settings import PREFIX, Settings

ray = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help="Ray Serve: needs the extra `ray`."
)


@ray.callback()
def _ray() -> None:
    """The service on Ray Serve."""


@ray.command()
def deploy(
    replicas: Annotated[
        int, typer.Option(min=1, help="Replicas; with --max-replicas the fewest.")
    ] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Scale up to so many, by the queue's wait.")
    ] = None,
    num_cpus: Annotated[float, typer.Option(help="CPUs of each replica.")] = 2,
    num_gpus: Annotated[float, typer.Option(help="GPUs of each replica.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(help="The cluster's, or auto. Default: a new one on this machine."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the application.")] = "resnet",
    route_prefix: Annotated[str, typer.Option(help="Path under which it is served.")] = "/",
    port: Annotated[int, typer.Option(help="Of Ray's proxies.")] = 8000,
) -> None:
    """Deploy the service; each replica is all of it, with the RESNET_ settings of this shell.

    On a new cluster it serves until SIGTERM or SIGINT; on another one it returns once it runs.
    """
    settings_with()
    try:
        import ray as cluster
        from ray import serve

        from service.integrations.ray_serve import application
    except ModuleNotFoundError as error:
        end(f"{error.name} is not installed: pip install 'resnet-server[ray]'.")
    given: dict[str, Any] = {
        "num_replicas": replicas,
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        **_environment(),
    }
    if max_replicas is not None:
        given["max_replicas"] = max_replicas
    cluster.init(address=address)
    serve.start(http_options={"port": port, "host": "0.0.0.0" if address else "127.0.0.1"})
    try:
        serve.run(application(given), name=name, route_prefix=route_prefix)
    except RuntimeError as error:
        end(f"The service can't be deployed: {error}")
    typer.echo(f"{name} runs under {route_prefix} on port {port}.")
    if address is None:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        serve.shutdown()
        cluster.shutdown()


def _environment() -> dict[str, Any]:
    """The settings that this shell states, for replicas on other machines."""
    stated = {name: os.environ.get(PREFIX + name.upper()) for name in Settings.fields()}
    return {name: value for name, value in stated.items() if value}
