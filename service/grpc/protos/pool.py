"""The messages' descriptors, in a pool of their own.

A process may also import a client whose messages have the same names, such as tritonclient:
protobuf's default pool takes each name once. `make protos` makes the file that is read here, and
no code that were bound to one version of protobuf.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

DESCRIPTORS = "descriptors.binpb"


def _read() -> DescriptorPool:
    pool = DescriptorPool()
    data = resources.files(__package__).joinpath(DESCRIPTORS).read_bytes()
    for file in FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _read()


def messages_of(file: str) -> dict[str, Any]:
    """The classes of a file's messages by name."""
    messages = POOL.FindFileByName(file).message_types_by_name
    return {name: GetMessageClass(found) for name, found in messages.items()}
