#!/usr/bin/env bash
# Generates the protocol's Python code and stubs: scripts/generate.sh BIN OUT, where OUT is `proto`
# or, for lint's comparison, an empty directory.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?usage: scripts/generate.sh BIN OUT}
out=${2:?usage: scripts/generate.sh BIN OUT}

# protoc finds its plugins on PATH; `-I proto` makes imports read `from flopgate_proto.v1 import ...`.
PATH="$(cd "$bin" && pwd):$PATH" "$bin/python" -m grpc_tools.protoc -I proto \
    --python_out="$out" --grpc_python_out="$out" \
    --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" \
    proto/flopgate_proto/v1/*.proto
