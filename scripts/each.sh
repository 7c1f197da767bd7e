#!/usr/bin/env bash
# Runs each program that matches a pattern: scripts/each.sh PYTHON PATTERN [ARGUMENTS].
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?usage: scripts/each.sh PYTHON PATTERN [ARGUMENTS]}
pattern=${2:?usage: scripts/each.sh PYTHON PATTERN [ARGUMENTS]}
shift 2

mapfile -t programs < <(compgen -G "$pattern" | sort)
if [[ ${#programs[@]} -eq 0 ]]; then
    echo "nothing matches $pattern" >&2
    exit 1
fi
for program in "${programs[@]}"; do
    echo "== $program"
    "$python" "$program" "$@"
done
