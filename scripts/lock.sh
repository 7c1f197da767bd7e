#!/usr/bin/env bash
# Compiles requirements/*.in into locks with hashes; run by `make lock`, on the oldest Python supported.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?usage: scripts/lock.sh DIRECTORY-OF-PIP-COMPILE [pip-compile options]}
shift
export CUSTOM_COMPILE_COMMAND="make lock"

# dev first: the other locks take its versions as constraints.
for name in dev gate courier governor qr tpm pkcs11 kubernetes; do
    echo "locking requirements/$name.txt"
    (cd requirements && "$bin/pip-compile" --quiet --generate-hashes --strip-extras --allow-unsafe \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
        --output-file "$name.txt" "$@" "$name.in")
    if grep -nE '^ *--(extra-|index|find|trusted)|://|(^|[^a-z])/[a-z]' "requirements/$name.txt"; then
        echo "requirements/$name.txt names an index, a path or an option: remove it" >&2
        exit 1
    fi
done
