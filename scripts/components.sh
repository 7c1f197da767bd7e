#!/usr/bin/env bash
# Installs the Debian packages that tests marked `components` need, and says what else they need.
set -euo pipefail

# One line a package, with the test that needs it.
packages=(
    iproute2 # tests/integration/test_live_namespaces.py: network namespaces
    nftables # tests/integration/test_live_namespaces.py: packets that get lost
    libtss2-dev # tests/integration/test_tpm_*.py, and the next three
    pkg-config
    swtpm
    swtpm-tools
    tpm2-tools
    softhsm2 # tests/integration/test_pkcs11.py
    prometheus # tests/integration/test_metrics.py: promtool
    munge # tests/integration/test_slurm.py, and the next three
    slurm-client
    slurmctld
    slurmd
    systemd  # tests/integration/test_units.py: systemd-analyze, systemd-sysusers
    systemd-container # tests/integration/test_under_systemd.py, test_governor_unit.py: systemd-nspawn
)

fail() {
    echo "components: $*" >&2
    exit 1
}

[[ $(id -u) -eq 0 ]] || fail "these tests need root: sudo make components"

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [[ ${#missing[@]} -gt 0 ]]; then
    command -v apt-get >/dev/null || fail "needs Debian's apt-get to install: ${missing[*]}"
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null
fi

# Freezing and killing real processes needs cgroup v2, alone or beside v1.
grep -q '^cgroup2 \| cgroup2 ' /proc/mounts || fail "no cgroup v2 is mounted (systemd.unified_cgroup_hierarchy=1)"

# What no wheel of requirements/dev.txt covers.
install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps "$@" ||
        fail "installing ${*: -1} failed: see above"
}
# Has no wheels: built here, against the TSS just installed, with what dev.txt locks.
install --no-build-isolation -r requirements/tpm.txt
install -r requirements/pkcs11.txt
install -r requirements/kubernetes.txt # tests/integration/test_k8s_manifest.py
