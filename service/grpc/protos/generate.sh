#!/bin/sh
# generate.sh PYTHON FOLDER: descriptors and types of the messages, from the .proto files beside.
set -eu
protos=$(dirname "$0")
"$1" -m grpc_tools.protoc -I "$protos" --include_imports \
    --descriptor_set_out="$2/descriptors.binpb" --pyi_out="$2" "$protos"/*.proto
