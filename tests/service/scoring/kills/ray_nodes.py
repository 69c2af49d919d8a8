"""A Ray cluster of two nodes with a CPU each on this machine, until its standard input ends.

    python -m tests.service.scoring.kills.ray_nodes

Writes its address. On the line "kill" it kills a node, adds another, and writes "killed".
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from tests.nginx import free_port

# Of each node.
STORE = {"object_store_memory": 200_000_000}


def main() -> None:
    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args={**head, **STORE})
    nodes = [cluster.add_node(num_cpus=1, **STORE) for _ in range(2)]
    _say(cluster.address)
    for _ in sys.stdin:
        # Drivers connect to the head's node, or to the first one: never to the last.
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, **STORE))
        _say("killed")
    cluster.shutdown()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
