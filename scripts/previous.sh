#!/usr/bin/env bash
# Keeps the sources of a version as the one before the next, for tests/integration/test_versions.py:
# scripts/previous.sh COMMIT, with each release. Kept in the tree, so that a checkout without history
# can run the test.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=${1:?usage: scripts/previous.sh COMMIT}
git archive "$commit" agent/flopgate_agent governor/flopgate_governor proto/flopgate_proto |
    xz -9e >tests/data/previous.tar.xz
