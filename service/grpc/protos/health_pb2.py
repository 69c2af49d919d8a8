"""The messages of health.proto. `make protos` makes the file of their types."""

from service.grpc.protos.pool import messages_of

globals().update(messages_of("health.proto"))
