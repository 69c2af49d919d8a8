"""The service with a replica on each of two nodes of a Ray cluster on this machine.

    python -m tests.e2e.ray_two_nodes PORT

Ray's proxy is on the first one, the head, which stays. Writes "ready", kills the other node on the
line "kill" and writes "killed", adds a node on "add", and ends with its standard input.
"""

from __future__ import annotations

import sys
from typing import Any

import psutil
import ray
from ray import serve
from ray.cluster_utils import Cluster

from service.integrations.ray_serve import application
from tests.nginx import free_port

REPLICAS = {"num_replicas": 2, "num_cpus": 1, "precision": "int8", "max_batch_size": 1}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def kill(cluster: Any, node: Any) -> None:
    """All of its processes at once, as a machine without power does."""
    (raylet,) = node.all_processes["raylet"]
    first = psutil.Process(raylet.process.pid)
    for process in (first, *first.children(recursive=True)):
        process.kill()
    cluster.remove_node(node, allow_graceful=False)


def main(port: int) -> None:
    # The port is looked for even without a dashboard.
    head = {"num_cpus": 1, "include_dashboard": False, "dashboard_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    other = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    serve.run(application(REPLICAS), name="resnet")
    say("ready")
    for line in sys.stdin:
        if line.strip() == "kill":
            kill(cluster, other)
            say("killed")
        else:
            cluster.add_node(num_cpus=1)
            say("added")
    serve.shutdown()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
