"""Tables of the store. Counts are signed 64-bit integers, digests 32-byte blobs."""

from __future__ import annotations

from functools import cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from flopgate_proto.limits import COUNT_MAX

SCHEMA_VERSION: Final = 7

metadata: Final = MetaData()

# Their rows come in the order of these numbers. Where SQLite is told so it needs no index beside
# the table; a store that was made before has one, and differs in nothing else.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

meta: Final = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

host: Final = Table(
    "host",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("spki", LargeBinary, nullable=False),
    Column("cluster", String, nullable=False),
    Column("custodian", String, nullable=False),
    Column("site", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("enrolled_sequence", BigInteger, nullable=False),
    Column("enrolment_digest", LargeBinary, nullable=False),
    Column("admission", LargeBinary, nullable=False),
    Column("token_id", LargeBinary, nullable=False),
    # What every report moves on.
    Column("sequence", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("run_nonce", LargeBinary, nullable=False),
    Column("boot_id", LargeBinary, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("running_ms", BigInteger, nullable=False),
    # Of the report on record that told the topology last; 0: none did.
    Column("topology_sequence", BigInteger, nullable=False),
    Column("issued_digest", LargeBinary, nullable=False),
    Column("issued_batch", BigInteger, nullable=False),
    Column("issued_unix_ms", BigInteger),
    Column("quoted_digest", LargeBinary, nullable=False),
    Column("quoted_batch", BigInteger, nullable=False),
    Column("quoted_unix_ms", BigInteger),
    Column("refused_reason", String, nullable=False),
    # When the host still ran, no later: its last report may have been kept on its way.
    Column("last_seen_unix_ms", BigInteger, nullable=False),
)

chip: Final = Table(
    "chip",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("vendor", String, nullable=False),
    Column("uuid", String, nullable=False, unique=True),
    Column("serial", String, nullable=False),
    Column("name", String, nullable=False),
    Column("pci_device_id", BigInteger, nullable=False),
    Index("chip_serial", "vendor", "serial"),
)

lane: Final = Table(
    "lane",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("workload", String, primary_key=True),
    Column("allotted_tflop", BigInteger, nullable=False),
    Column("unaccounted_tflop", BigInteger, nullable=False),
    Column("low_tflop", BigInteger, nullable=False),
    Column("nominal_tflop", BigInteger, nullable=False),
    Column("high_tflop", BigInteger, nullable=False),
    Column("ungranted_tflop", BigInteger, nullable=False),
)

# What a lane's row holds and no budget, or no report; none of most lanes.
lane_beside: Final = Table(
    "lane_beside",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("workload", String, primary_key=True),
    # Without a grant, told by the enrolment: of before this authority counted.
    Column("before_tflop", BigInteger, nullable=False),
    # By the end of the chain: ceilings that were spent, and silence that was charged.
    Column("spent_tflop", BigInteger, nullable=False),
    Column("silent_tflop", BigInteger, nullable=False),
)

grant: Final = Table(
    "grant",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("workload", String, primary_key=True),
    # Among the unsettled grants of its lane, oldest first: most lanes keep one row for ever.
    Column("position", Integer, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("request_digest", LargeBinary, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("run_nonce", LargeBinary, nullable=False),
    Column("lifetime_ms", BigInteger, nullable=False),
    # The ceiling; of a reserve license what is left of an amount on top of all ceilings.
    Column("held_tflop", BigInteger, nullable=False),
    Column("governor_unix_ms", BigInteger, nullable=False),
    Column("rate_tflop_per_s", BigInteger, nullable=False, server_default=text("0")),
)

# A report on record always has exactly one answer, so they are one row.
report: Final = Table(
    "report",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host_id", LargeBinary, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("answer_digest", LargeBinary, nullable=False),
    Column("answer_index", BigInteger, nullable=False),
    Column("answer_path", LargeBinary, nullable=False),
    Column("batch_number", BigInteger, nullable=False),
    UniqueConstraint("host_id", "sequence"),
)

batch: Final = Table(
    "batch",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("governor_unix_ms", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_proof", LargeBinary, nullable=False),
)

log_entry: Final = Table(
    "log_entry",
    metadata,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# One row: what must be kept of the tree to append to it, and the newest signed checkpoint.
log_state: Final = Table(
    "log_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("nodes", LargeBinary, nullable=False),
    Column("checkpoint", LargeBinary, nullable=False),
)

order: Final = Table(
    "officer_order",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("accepted_unix_ms", BigInteger, nullable=False),
    Column("log_proof", LargeBinary, nullable=False),
)

token: Final = Table(
    "token",
    metadata,
    Column("token_id", LargeBinary, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("trust_root_digest", LargeBinary, nullable=False),
    Column("cluster", String, nullable=False),
    Column("custodian", String, nullable=False),
    Column("site", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("hosts_max", BigInteger, nullable=False),
    # FLOP/s do not fit 64 bits for a large cluster, teraFLOP/s do.
    Column("capacity_tflop_per_s", BigInteger, nullable=False),
    Column("expires_unix_ms", BigInteger, nullable=False),
)

budget: Final = Table(
    "budget",
    metadata,
    # In words: cluster:c1; or what one custodian computes under one name.
    Column("scope", String, primary_key=True),
    Column("settled_tflop", BigInteger, nullable=False),
    Column("outstanding_tflop", BigInteger, nullable=False),
    # A sum of signed 64-bit counts can pass 64 bits: decimal text.
    Column("unaccounted_tflop", String, nullable=False),
    Column("cap_tflop", BigInteger, nullable=False, server_default=text(str(COUNT_MAX))),
    # Peak of all that holds a grant.
    Column("rate_tflop_per_s", BigInteger, nullable=False, server_default=text("0")),
    # The most that settled and outstanding may come to: the cap, or what was out when it fell.
    Column("bound_tflop", BigInteger, nullable=False, server_default=text(str(COUNT_MAX))),
    CheckConstraint(
        "settled_tflop >= 0 AND outstanding_tflop >= 0 AND cap_tflop <= bound_tflop "
        "AND settled_tflop <= bound_tflop - outstanding_tflop",
        name="law_2",
    ),
)

evidence: Final = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host_id", LargeBinary, nullable=False),
    Column("kind", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("detail", String, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("unix_ms", BigInteger, nullable=False),
    UniqueConstraint("digest", "kind"),
)

told: Final = Table(
    "pause_told",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("running_ms", BigInteger, nullable=False),
)

halt: Final = Table(
    "halt",
    metadata,
    # One row a halt: how many were reconciled before it.
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("own_batch", BigInteger, nullable=False),
    Column("quoted_batch", BigInteger, nullable=False),
    Column("host_id", LargeBinary, nullable=False),
)

# Of hosts whose TPM quoted for their enrolment, as it was verified then.
tpm_quote: Final = Table(
    "tpm_quote",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("attestation_key", LargeBinary, nullable=False),
    # One byte each, ascending.
    Column("pcrs", LargeBinary, nullable=False),
    Column("pcr_digest", LargeBinary, nullable=False),
    # As it came, for whoever doubts.
    Column("evidence", LargeBinary, nullable=False),
    Column("unix_ms", BigInteger, nullable=False),
)

# What a ruling does is done once, whenever the governor dies.
ruling: Final = Table(
    "ruling",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("unix_ms", BigInteger, nullable=False),
)

closure: Final = Table(
    "closure",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("custodian", String, nullable=False),
    # order, or policy where a new enrolment closed it.
    Column("by", String, nullable=False),
    Column("unix_ms", BigInteger, nullable=False),
)

relief: Final = Table(
    "relief",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("workload", String, primary_key=True),
    Column("amount_tflop", BigInteger, nullable=False),
)

# The newest of what each host told that it shares with others, as `core.claims` names it.
cluster_told: Final = Table(
    "cluster_told",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    # Of the report that told it.
    Column("sequence", BigInteger, nullable=False),
    Column("claims", String, nullable=False),
)

# Two declared clusters that are one, or would be; see `core.clusters`.
cluster_merge: Final = Table(
    "cluster_merge",
    metadata,
    Column("a", String, primary_key=True),
    Column("b", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("state", Integer, nullable=False),
    Column("why", String, nullable=False),
    # The reports of both ends; empty where only a ruling stands behind it.
    Column("host_a", LargeBinary, nullable=False),
    Column("sequence_a", BigInteger, nullable=False),
    Column("host_b", LargeBinary, nullable=False),
    Column("sequence_b", BigInteger, nullable=False),
    Column("ruling", LargeBinary, nullable=False),
)

# Reports on record that ask for a license.
license_request: Final = Table(
    "license_request",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("host_id", LargeBinary, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    # It quoted an answer that is older than one of an earlier report.
    Column("stale", Integer, nullable=False),
)

license_approval: Final = Table(
    "license_approval",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("unix_ms", BigInteger, nullable=False),
)

# One answer, as it was signed: a retry gets the same bytes.
license_given: Final = Table(
    "license_given",
    metadata,
    Column("request_digest", LargeBinary, primary_key=True),
    Column("host_id", LargeBinary, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("approval", LargeBinary, nullable=False),
    Column("reserve", Integer, nullable=False),
    Column("single_use", Integer, nullable=False),
    Column("span_ms", BigInteger, nullable=False),
    Column("not_after_unix_ms", BigInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("answer_digest", LargeBinary, nullable=False),
    Column("answer_index", BigInteger, nullable=False),
    Column("answer_path", LargeBinary, nullable=False),
    Column("batch_number", BigInteger, nullable=False),
    Index("license_given_host", "host_id", "batch_number"),
)

# What stands behind the grant of the same host, workload and request, as long as there is one.
license_lane: Final = Table(
    "license_lane",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("workload", String, primary_key=True),
    Column("request_digest", LargeBinary, primary_key=True),
    Column("ceiling_tflop", BigInteger, nullable=False),
    Column("held_tflop", BigInteger, nullable=False),
)

# Where each gate stands with licenses, as its newest report told; none before the first.
license_quote: Final = Table(
    "license_quote",
    metadata,
    Column("host_id", LargeBinary, primary_key=True),
    Column("quote", LargeBinary, nullable=False),
    Column("spent_counter", BigInteger, nullable=False),
)

APPEND_ONLY: Final = tuple(
    f"CREATE TRIGGER IF NOT EXISTS log_entry_no_{verb} BEFORE {verb.upper()} ON log_entry "
    "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
    for verb in ("update", "delete")
)


@cache
def creation() -> tuple[str, ...]:
    """SQL that makes what is missing, written once in each process: a store is opened often."""
    dialect = sqlite.dialect()
    made: list[str] = []
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)))
        made += [
            str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return (*made, *APPEND_ONLY)
