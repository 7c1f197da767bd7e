"""Named maxima of everything that comes in (STYLE: every input has one)."""

from __future__ import annotations

from typing import Final

COUNT_MAX: Final = 2**63 - 1
"""Largest count, time or version in a statement: fits every database's signed 64 bits."""

DIGEST_BYTES: Final = 32
NONCE_BYTES: Final = 16
BOOT_ID_BYTES: Final = 16
SALT_BYTES: Final = 16
SPKI_BYTES_MAX: Final = 4096
TPM_STRUCTURE_BYTES_MAX: Final = 1024
SIGNATURE_BYTES_MAX: Final = 8192
SIGNATURES_MAX: Final = 32
TEXT_BYTES_MAX: Final = 256
NAME_BYTES_MAX: Final = 128

PAYLOAD_BYTES_MAX: Final = 256 * 1024
"""Largest payload of one envelope."""

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest message on a link or at a door."""

LANES_MAX: Final = 64
CHIPS_MAX: Final = 64
FINDINGS_MAX: Final = 64
PORTS_MAX: Final = 256
NVLINKS_MAX: Final = 36
"""Of one chip: the most that NVML numbers."""
UUID_BYTES: Final = 16
PLATFORM_GUID_BYTES_MAX: Final = 16
TOPOLOGY_BYTES_MAX: Final = 64 * 1024
"""With all else at its maximum, a report still fits a payload."""
QUOTES_MAX: Final = 8
QUOTED_ROOT_BYTES_MAX: Final = 1024
SCOPES_MAX: Final = 64
PAUSES_MAX: Final = 64
HELD_ORDERS_MAX: Final = 64
"""Orders that a host hands back to its authority."""
ORDERS_WAITING_MAX: Final = 64
"""Orders that loosen and are not in force yet, of one authority."""
PAUSES_OF_ONE_MAX: Final = 1024
"""Pauses that stand and that the same officers, fewer than a quorum, signed."""
VETOES_OF_ONE_MAX: Final = 256
"""Vetoes of the same officers that ended nothing which waited."""
LICENSED_HOSTS_MAX: Final = 1024
"""Requests that one approval names."""
FILE_LINE_BYTES_MAX: Final = 512 * 1024
"""One line of a request or license file: the largest payload in base64, and its signatures."""
LICENSE_STATEMENTS_MAX: Final = 4096
"""Statements that the licenses of one file share."""
LICENSES_BYTES_MAX: Final = 512 * 1024 * 1024
"""All licenses of one file, each with the statements that it shares, and these themselves."""
KEPT_ORDERS_MAX: Final = 4096
KEPT_ROOTS_MAX: Final = 16_384
"""Of one host in a file of roots: a gate keeps the newest 1,000 of each authority."""
HEADS_BYTES_MAX: Final = 1 << 28
"""An authority's file of heads: some 130 bytes a host."""
CARRIED_BYTES_MAX: Final = 64 * 1024
"""What goes onto paper or into QR codes, before it is packed."""
ARMOR_CHARS_MAX: Final = 256 * 1024
QR_PARTS_MAX: Final = 64
KEYS_MAX: Final = 64
ROLES_MAX: Final = 16
BUDGETS_MAX: Final = 1024
RULED_CLUSTERS_MAX: Final = 1024
PHASES_MAX: Final = 256
TIERS_MAX: Final = 8
WORKLOADS_MAX: Final = 1024
"""Registered workloads of one authority."""
PARENTS_MAX: Final = 64
"""Of one registered workload."""
PIPES_MAX: Final = 16
COUNTERS_MAX: Final = 32
REPORTS_PER_MESSAGE_MAX: Final = 256
HELLO_HOSTS_MAX: Final = 4096
PROOF_HASHES_MAX: Final = 63
SALTED_ROW_BYTES_MAX: Final = 8192

RENEW_AFTER_MS_MIN: Final = 100
"""Shortest time between two requests of a host, whatever is signed: each is a report on its disk
and on that of every authority."""

STOP_SLACK_MS: Final = 8_000
"""What a stop can take beyond wind-down and drain: a sampling interval of 1 s, counters silent
for 5 s, and 2 s from a kill to its effect. A ceiling must still cover it at the peak (law 2)."""
