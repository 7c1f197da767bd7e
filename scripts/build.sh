#!/usr/bin/env bash
# Checks for what Python cannot bring along. The fake driver is compiled from C where it is used.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v gcc >/dev/null || {
    echo "build: gcc is missing; the fake driver needs it (Debian: apt-get install gcc libc6-dev)" >&2
    exit 1
}
if ! echo '#include <stdint.h>' | gcc -shared -fPIC -x c - -o /dev/null 2>/dev/null; then
    echo "build: gcc cannot compile a shared library (Debian: apt-get install libc6-dev)" >&2
    exit 1
fi
