"""Reads a recorded cluster: two CSV files, one of nodes and one of pods.

Every fault is told with file and line. Columns that nobody needs here may be there too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_agent.toml_table import read_bytes
from flopgate_proto.errors import ConfigError
from flopgate_sim.scenario.clusters import CHIPS_PER_HOST_MAX, HOSTS_MAX

FILE_BYTES_MAX: Final = 128 * 1024 * 1024
PODS_MAX: Final = 1_000_000
GPU_MILLI: Final = 1_000
"""A whole GPU."""
TEXT_MAX: Final = 128

NODE_COLUMNS: Final = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS: Final = (
    "name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec", "qos", "pod_phase",
    "creation_time", "deletion_time", "scheduled_time",
)  # fmt: skip
# Programs that know missing numbers only as fractions write 17.0 for 17, and NaN for nothing.
_ABSENT: Final = frozenset({"", "nan", "NaN"})
_NUMBER: Final = re.compile(r"(-?)([0-9]{1,15})(?:\.0+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine: its name, its GPUs (0 to 16) and their model, empty where it is not told."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What was asked for, and when it ran; seconds since the trace began.

    Attributes:
        gpus: 0 to 16.
        gpu_milli: share of each GPU in thousandths, 0 to 1000.
        models: on which it may run; empty for any.
        deleted_s: ``None`` where it still ran when the trace ended.
        scheduled_s: ``None`` where it never ran.
    """

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    gpu_milli: int
    models: frozenset[str]
    qos: str
    phase: str
    created_s: int
    deleted_s: int | None
    scheduled_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recorded cluster, in the order of its files; at least one node has a GPU."""

    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]


class _Row:
    """One line of a file, column by column."""

    __slots__ = ("_cells", "_where")

    def __init__(self, where: str, cells: dict[str, str]) -> None:
        self._where = where
        self._cells = cells

    def fault(self, column: str, rule: str) -> ConfigError:
        """The error for a cell that breaks ``rule``."""
        return ConfigError(
            f"{self._where}: {column} {rule}", code="trace.row", remedy="Mend or remove the line."
        )

    def text(self, column: str) -> str:
        """A name."""
        value = self._cells[column].strip()
        if not value or len(value) > TEXT_MAX or not value.isprintable():
            raise self.fault(column, f"must be 1 to {TEXT_MAX} printable characters")
        return value

    def text_or_empty(self, column: str) -> str:
        """A name, or nothing."""
        return "" if self._absent(column) else self.text(column)

    def number(self, column: str, most: int = 10**15) -> int:
        """A whole number from 0 to ``most``."""
        found = _NUMBER.fullmatch(self._cells[column].strip())
        if found is None:
            raise self.fault(column, "is not a whole number of at most 15 digits")
        value = int(found[2])
        if found[1] and value:
            raise self.fault(column, f"is negative: -{value}")
        if value > most:
            raise self.fault(column, f"is {value}, at most {most} is taken")
        return value

    def optional_number(self, column: str) -> int | None:
        """A whole number, or nothing."""
        return None if self._absent(column) else self.number(column)

    def _absent(self, column: str) -> bool:
        return self._cells[column].strip() in _ABSENT


def load_trace(nodes: Path, pods: Path) -> Trace:
    """Read both files.

    Raises:
        ConfigError: a file cannot be read, lacks a column, or has a row that is wrong: file, line
            and column are named.
    """
    found_nodes = tuple(_nodes(nodes))
    if not any(node.gpus for node in found_nodes):
        raise ConfigError(
            f"{nodes}: no node has a GPU",
            code="trace.empty",
            remedy="Name the list of GPU nodes; nothing else is governed.",
        )
    return Trace(nodes=found_nodes, pods=tuple(_pods(pods)))


def _nodes(path: Path) -> Iterator[Node]:
    names: dict[str, str] = {}
    for where, row in _rows(path, NODE_COLUMNS, HOSTS_MAX):
        name = row.text("sn")
        _note(names, name, where, row.fault("sn", f"{name!r} is there twice"))
        gpus = row.number("gpu", CHIPS_PER_HOST_MAX)
        yield Node(
            name=name,
            cpu_milli=row.number("cpu_milli"),
            memory_mib=row.number("memory_mib"),
            gpus=gpus,
            model=row.text_or_empty("model"),
        )


def _pods(path: Path) -> Iterator[Pod]:
    names: dict[str, str] = {}
    for where, row in _rows(path, POD_COLUMNS, PODS_MAX):
        name = row.text("name")
        _note(names, name, where, row.fault("name", f"{name!r} is there twice"))
        created_s = row.number("creation_time")
        deleted_s = row.optional_number("deletion_time")
        if deleted_s is not None and deleted_s < created_s:
            rule = f"{deleted_s} is before creation_time {created_s}"
            raise row.fault("deletion_time", rule)
        models = row.text_or_empty("gpu_spec").split("|")
        yield Pod(
            name=name,
            cpu_milli=row.number("cpu_milli"),
            memory_mib=row.number("memory_mib"),
            gpus=row.number("num_gpu", CHIPS_PER_HOST_MAX),
            gpu_milli=row.number("gpu_milli", GPU_MILLI),
            models=frozenset(model.strip() for model in models if model.strip()),
            qos=row.text_or_empty("qos"),
            phase=row.text_or_empty("pod_phase"),
            created_s=created_s,
            deleted_s=deleted_s,
            scheduled_s=row.optional_number("scheduled_time"),
        )


def _note(names: dict[str, str], name: str, where: str, fault: ConfigError) -> None:
    if name in names:
        raise ConfigError(
            f"{fault.detail}, first in {names[name]}", code=fault.code, remedy=fault.remedy
        )
    names[name] = where


def _rows(path: Path, columns: Sequence[str], rows_max: int) -> Iterator[tuple[str, _Row]]:
    """Lines of a CSV file with a header, each with its place."""
    data = read_bytes(path, FILE_BYTES_MAX)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _malformed(f"{path}:{line}", "is no UTF-8 text") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    count = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise _malformed(f"{path}:{reader.line_num}", f"is no CSV: {error}") from error
        where = f"{path}:{reader.line_num}"
        if not cells:
            continue
        if header is None:
            header = _header(where, cells, columns)
            continue
        if len(cells) != len(header):
            rule = f"has {len(cells)} columns, the header has {len(header)}"
            raise _malformed(where, rule)
        count += 1
        if count > rows_max:
            raise _malformed(where, f"has row {count}, at most {rows_max} are taken")
        yield where, _Row(where, dict(zip(header, cells, strict=True)))
    if header is None:
        raise _malformed(f"{path}:1", f"has no header; it must name {', '.join(columns)}")


def _header(where: str, cells: list[str], columns: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for column in columns:
        if names.count(column) != 1:
            state = "missing" if column not in names else "there twice"
            raise _malformed(where, f"column {column} is {state}")
    return names


def _malformed(where: str, rule: str) -> ConfigError:
    return ConfigError(
        f"{where}: {rule}", code="trace.malformed", remedy="Mend the file, or name the right one."
    )
