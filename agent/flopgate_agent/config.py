"""Configuration of gate and courier, in TOML. What a policy may decide does not stand here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_agent.gate.settings import REPORT_INTERVAL_MS, GateToken
from flopgate_agent.toml_table import Table, read_bytes, read_table
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import CHIPS_MAX, DIGEST_BYTES, LANES_MAX, NONCE_BYTES
from flopgate_proto.values import Phase

UNDECLARED: Final = "undeclared"
AUTHORITIES_MAX: Final = 8
_ID_MAX: Final = 2**32 - 2
_PORT_MAX: Final = 65_535
_AUTHORITY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_LANE_KEYS: Final = ("workload", "chips")
_GATE_KEYS: Final = (
    "state_dir", "door_path", "courier_uids", "door_gid", "device_globs",
    "sample_interval_ms", "report_interval_ms", "ledger_bytes_max", "cgroup", "device_filter",
    "phase_at_least", "notice_socket", "declarable", "tpm", "lane",
)  # fmt: skip
_TPM_KEYS: Final = ("tcti", "required", "pcrs")
_PCR_MAX: Final = 23
_COURIER_KEYS: Final = (
    "state_dir", "door_path", "queue_bytes_max", "backoff_ms_max", "keepalive_ms",
    "answer_timeout_ms", "metrics_listen",
)  # fmt: skip
_AUTHORITY_KEYS: Final = ("address", "enroll_address")
_TOKEN_KEYS: Final = (
    "trust_root_digest", "later_trust_roots", "cluster", "custodian", "site", "jurisdiction",
    "token_id", "secret",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneConfig:
    """Chips that serve one workload.

    Attributes:
        workload: registered name, or ``undeclared``.
        chips: UUIDs; None for every chip of the host.
    """

    workload: str = UNDECLARED
    chips: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmConfig:
    """The TPM that holds the host key.

    Attributes:
        tcti: where it is, as the TSS names it.
        required: else, where none answers at the first start, the key lies in a file for good.
        pcrs: of the SHA-256 bank, that it quotes for authorities.
    """

    tcti: str
    required: bool
    pcrs: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """What a gate needs to know of its host.

    Attributes:
        state_dir: ledger, host key and join tokens.
        door_path: Unix socket for couriers.
        courier_uids: users whose processes may open the door.
        door_gid: group of the socket file; None leaves the gate's own.
        device_globs: device nodes of accelerators, watched and denied.
        sample_interval_ms: 100 to 60000.
        report_interval_ms: a report at least that often, 1000 to 3600000.
        ledger_bytes_max: what the ledger may take for reports that nobody needs any more, 1 MiB to
            16 GiB; what an authority has not acknowledged stays beyond it.
        cgroup: whether jobs are frozen by cgroup v2; else by signals.
        device_filter: whether the kernel is asked to keep everybody out of a chip that is denied.
        phase_at_least: rules bite at least so far on this host, whatever policies say.
        notice_socket: Unix socket of a service that is told of wind-downs; None for nobody.
        tpm: what holds the host key; None for a file in ``state_dir``.
        declarable: workloads that jobs may declare, at most LANES_MAX.
        lanes: at least one; no chip in two of them.
    """

    state_dir: Path
    door_path: Path
    courier_uids: tuple[int, ...]
    door_gid: int | None = None
    device_globs: tuple[str, ...] = ("/dev/nvidia[0-9]*",)
    sample_interval_ms: int = 1000
    report_interval_ms: int = REPORT_INTERVAL_MS
    ledger_bytes_max: int = 64 * 1024**2
    cgroup: bool = True
    device_filter: bool = True
    phase_at_least: Phase = Phase.OBSERVE
    notice_socket: Path | None = None
    declarable: tuple[str, ...] = ()
    tpm: TpmConfig | None = None
    lanes: tuple[LaneConfig, ...] = (LaneConfig(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierConfig:
    """What a courier needs to know.

    Attributes:
        state_dir: its TLS key, certificates, and what ``join`` wrote.
        door_path: the gate's Unix socket.
        queue_bytes_max: reports held for one authority, 64 KiB to 64 MiB; then it stops reading.
        backoff_ms_max: longest wait between two attempts, 10 to 600000.
        keepalive_ms: a cut network is noticed within twice this, 1000 to 600000. An authority that
            permits pings less often ends the connection.
        answer_timeout_ms: an authority that says nothing this long after a report is left and
            tried again, 100 to 600000.
        metrics_listen: address and port where metrics are served; None for nowhere.
    """

    state_dir: Path
    door_path: Path
    queue_bytes_max: int = 2 * 1024 * 1024
    backoff_ms_max: int = 10_000
    keepalive_ms: int = 10_000
    answer_timeout_ms: int = 30_000
    metrics_listen: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityConfig:
    """Where an authority is reached; addresses are ``host:port``."""

    name: str
    address: str
    enroll_address: str
    ca_pem: bytes


def load_gate(path: Path) -> GateConfig:
    """Read ``gate.toml``.

    Raises:
        ConfigError: names file, key and remedy.
    """
    table = read_table(path, _GATE_KEYS)
    return GateConfig(
        state_dir=table.path("state_dir"),
        door_path=table.path("door_path"),
        courier_uids=table.numbers("courier_uids", 0, _ID_MAX),
        door_gid=table.optional_number("door_gid", 0, _ID_MAX),
        device_globs=table.texts("device_globs", ("/dev/nvidia[0-9]*",)),
        sample_interval_ms=table.number("sample_interval_ms", 1000, 100, 60_000),
        report_interval_ms=table.number("report_interval_ms", REPORT_INTERVAL_MS, 1000, 3_600_000),
        ledger_bytes_max=table.number("ledger_bytes_max", 64 * 1024**2, 1024**2, 16 * 1024**3),
        cgroup=table.flag("cgroup", default=True),
        device_filter=table.flag("device_filter", default=True),
        phase_at_least=_phase(table, "phase_at_least"),
        notice_socket=table.optional_path("notice_socket"),
        declarable=tuple(
            table.check_name("declarable", one) for one in table.optional_texts("declarable")
        ),
        tpm=_tpm(table),
        lanes=_lanes(table),
    )


def load_courier(path: Path) -> CourierConfig:
    """Read ``courier.toml``.

    Raises:
        ConfigError: names file, key and remedy.
    """
    table = read_table(path, _COURIER_KEYS)
    return CourierConfig(
        state_dir=table.path("state_dir"),
        door_path=table.path("door_path"),
        queue_bytes_max=table.number("queue_bytes_max", 2 * 1024**2, 64 * 1024, 64 * 1024**2),
        backoff_ms_max=table.number("backoff_ms_max", 10_000, 10, 600_000),
        keepalive_ms=table.number("keepalive_ms", 10_000, 1000, 600_000),
        answer_timeout_ms=table.number("answer_timeout_ms", 30_000, 100, 600_000),
        metrics_listen=_listen(table, "metrics_listen"),
    )


def load_authorities(courier_dir: Path) -> tuple[AuthorityConfig, ...]:
    """Every authority that ``join`` wrote, by name.

    Raises:
        ConfigError: there is none, too many, or a file is broken.
    """
    paths = sorted((courier_dir / "authorities").glob("*.toml"))
    if not 0 < len(paths) <= AUTHORITIES_MAX:
        raise ConfigError(
            f"{len(paths)} authorities in {courier_dir / 'authorities'}, "
            f"1 to {AUTHORITIES_MAX} are taken",
            code="courier.authorities.count",
            remedy="Run `flopgate-agent join` with the token of an authority.",
        )
    return tuple(_authority(path) for path in paths)


def load_gate_tokens(gate_dir: Path) -> tuple[GateToken, ...]:
    """Every join token in the gate's directory, by name; none is fine.

    Raises:
        ConfigError: a file is broken, or others than its owner may read it.
    """
    return tuple(_token(path) for path in sorted((gate_dir / "join").glob("*.token")))


def check_authority_name(name: str) -> str:
    """The name, which becomes a file's name.

    Raises:
        ConfigError: other characters than letters, digits, dot, dash and underscore.
    """
    if not _AUTHORITY_NAME.fullmatch(name):
        raise ConfigError(
            f"authority name {name!r} has characters that no file name here may have",
            code="config.authority.name",
            remedy="Ask the authority for a token with a name of letters, digits, '.', '-', '_'.",
        )
    return name


def _phase(table: Table, key: str) -> Phase:
    name = table.text(key, Phase.OBSERVE.name.lower())
    known = {phase.name.lower(): phase for phase in Phase}
    if name not in known:
        raise table.fault(key, f"is {name!r}; it takes {', '.join(known)}")
    return known[name]


def _listen(table: Table, key: str) -> tuple[str, int] | None:
    text = table.optional_text(key)
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
        raise table.fault(key, f'is {text!r}; it takes an address and a port, "127.0.0.1:9464"')
    return host.strip("[]"), int(port)


def _tpm(table: Table) -> TpmConfig | None:
    found = table.table("tpm", _TPM_KEYS)
    if found is None:
        return None
    return TpmConfig(
        tcti=found.text("tcti", "device:/dev/tpmrm0"),
        required=found.flag("required", default=True),
        pcrs=found.numbers("pcrs", 0, _PCR_MAX, tuple(range(8))),
    )


def _lanes(table: Table) -> tuple[LaneConfig, ...]:
    lanes = tuple(_lane(one) for one in table.tables("lane", _LANE_KEYS)) or (LaneConfig(),)
    if len(lanes) > LANES_MAX:
        raise table.fault("lane", f"stands {len(lanes)} times, at most {LANES_MAX} are taken")
    workloads = [lane.workload for lane in lanes]
    if len(set(workloads)) != len(workloads):
        raise table.fault("lane", "names a workload twice; list its chips in one lane")
    if len(lanes) > 1 and any(lane.chips is None for lane in lanes):
        raise table.fault("lane", 'has chips = "all" beside another lane; a chip is in one lane')
    chips = [chip for lane in lanes for chip in lane.chips or ()]
    if len(set(chips)) != len(chips):
        raise table.fault("lane", "lists a chip twice; a chip is in one lane")
    if len(chips) > CHIPS_MAX:
        raise table.fault("lane", f"lists {len(chips)} chips, at most {CHIPS_MAX} are taken")
    return lanes


def _lane(table: Table) -> LaneConfig:
    workload = table.name("workload", UNDECLARED)
    if table.is_text("chips"):
        if table.text("chips") != "all":
            raise table.fault("chips", 'must be "all" or a list of UUIDs')
        return LaneConfig(workload=workload)
    return LaneConfig(workload=workload, chips=table.texts("chips"))


def _authority(path: Path) -> AuthorityConfig:
    table = read_table(path, _AUTHORITY_KEYS)
    return AuthorityConfig(
        name=check_authority_name(path.stem),
        address=table.text("address"),
        enroll_address=table.text("enroll_address"),
        ca_pem=read_bytes(path.with_name(f"{path.stem}.ca.pem")),
    )


def _token(path: Path) -> GateToken:
    table = read_table(path, _TOKEN_KEYS, secret=True)
    return GateToken(
        authority=check_authority_name(path.stem),
        trust_root_digest=table.digest("trust_root_digest", DIGEST_BYTES),
        cluster=table.name("cluster"),
        custodian=table.name("custodian"),
        site=table.name_or_empty("site"),
        jurisdiction=table.name_or_empty("jurisdiction"),
        token_id=table.digest("token_id", NONCE_BYTES),
        secret=table.digest("secret", DIGEST_BYTES),
        later_trust_roots=table.digests("later_trust_roots", DIGEST_BYTES),
    )
