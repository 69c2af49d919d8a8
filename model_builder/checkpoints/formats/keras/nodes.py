"""How the layers of a Keras network are connected, in the config of Keras 3 and of Keras 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# A tensor is named by its layer, and which of the layer's calls it is of.
Source = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a tensor among the arguments of a call. position: among `Node.inputs`."""

    position: int


@dataclass(slots=True)
class Node:
    """One call of a layer.

    inputs: its tensors. arguments, keywords: of an operation, with a `Tensor` in each one's place.
    """

    inputs: list[Source] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)

    def take(self, value: Any) -> Any:
        """The value with its tensors taken into `inputs`."""
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            name, call, _ = value["config"]["keras_history"]
            return self._tensor(name, call)
        # Keras 2: [layer, call, output], for tensors among the keywords too.
        if _is_keras_2_tensor(value):
            return self._tensor(value[0], value[1])
        if isinstance(value, list):
            return [self.take(one) for one in value]
        return value

    def _tensor(self, name: str, call: int) -> Tensor:
        self.inputs.append((name, call))
        return Tensor(len(self.inputs) - 1)


def nodes_of(layer: Mapping[str, Any]) -> list[Node]:
    """Every call of a layer; none where the layers are in a sequence."""
    found = []
    for stated in layer.get("inbound_nodes") or []:
        node = Node()
        if isinstance(stated, dict):
            node.arguments = [node.take(value) for value in stated["args"]]
            keywords = stated.get("kwargs") or {}
            node.keywords = {key: node.take(value) for key, value in keywords.items()}
        else:
            entries = [stated] if stated and isinstance(stated[0], str) else stated
            for entry in entries:
                node.arguments.append(node.take(list(entry[:3])))
                for key, value in (entry[3] if len(entry) > 3 else {}).items():
                    node.keywords[key] = node.take(value)
        found.append(node)
    return found


def _is_keras_2_tensor(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(isinstance(one, int) for one in value[1:])
    )


def output_names(config: Mapping[str, Any]) -> list[Source]:
    """The tensors that a functional network gives."""
    stated = config["output_layers"]
    listed = [stated] if stated and isinstance(stated[0], str) else stated
    return [(one[0], one[1]) for one in listed]
