#!/usr/bin/env bash
# Runs every check that reads the code without running it; goes on after a failure and names each.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${1:?usage: scripts/lint.sh BIN}
failed=()

check() {
    local name=$1
    shift
    echo "lint: $name"
    "$@" || failed+=("$name")
}

generated_code() {
    local fresh file status=0
    fresh=$(mktemp -d)
    scripts/generate.sh "$bin" "$fresh" || status=1
    # Both ways: a generated file without a .proto any more is stale too.
    for file in $( (cd "$fresh" && find . -name '*_pb2*'; cd "$OLDPWD/proto" && find . -name '*_pb2*.py*' -not -path '*/__pycache__/*') | sort -u); do
        diff -u "proto/$file" "$fresh/$file" | head -40
        [[ ${PIPESTATUS[0]} -eq 0 ]] || status=1
    done
    rm -rf "$fresh"
    [[ $status -eq 0 ]] || echo "lint: generated code differs from its .proto: make generate, and commit" >&2
    return $status
}

check "ruff check" "$bin/ruff" check --quiet .
check "ruff format" "$bin/ruff" format --check --quiet .
# mypy refuses a folder without Python in it.
mapfile -t typed < <(find agent governor proto simulator tests bench scripts -name '*.py' 2>/dev/null | cut -d/ -f1 | sort -u)
check "mypy" "$bin/mypy" "${typed[@]}"
check "import-linter" "$bin/lint-imports" --no-logo
check "buf lint" "$bin/buf" lint
check "generated code" generated_code

if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'lint: FAILED: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "lint: all passed"
