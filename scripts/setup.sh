#!/usr/bin/env bash
# Makes the virtual environment named by $1 from requirements/dev.txt; PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: scripts/setup.sh DIRECTORY}

fail() {
    echo "setup: $*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local name
    if [[ -n ${PYTHON:-} ]]; then
        command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is not there"
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is older than 3.11: name a newer one, as in make PYTHON=python3.12"
        echo "$PYTHON"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer found ($(python3 --version 2>&1 || true)): install one, or name it: make PYTHON=/path/to/python3"
}

python=$(find_python)
# Debian splits venv and ensurepip off into their own package.
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)"

# A leftover of another interpreter, or of an interrupted run, is made anew.
if [[ -n ${PYTHON:-} ]] || ! new_enough "$venv/bin/python"; then
    rm -rf "$venv"
fi
if [[ ! -x $venv/bin/pip ]]; then
    echo "setup: making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
echo "setup: installing requirements/dev.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --no-deps -r requirements/dev.txt ||
    fail "installing requirements/dev.txt failed: see above; pip needs to reach its package index"
