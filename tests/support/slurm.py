"""A Slurm of one node: real munged, slurmctld and slurmd on loopback."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from flopgate_sim.live.processes import free_ports
from tests.support.waiting import WAIT_S, until

SCRIPTS = Path(__file__).parents[2] / "packaging" / "slurm"
CONF = """\
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
PrologFlags=Alloc
SlurmdParameters=config_overrides
NodeName={node} NodeAddr=127.0.0.1 CPUs=2 RealMemory=500 State=UNKNOWN
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
{more}
"""


class Slurm:
    """Runs while it is entered.

    Args:
        folder: everything lies there; its path must be short, for a socket's sake.
        status: the gate's file.
        health: whether the node looks after itself every two seconds.
        suspend: whether it has Slurm suspend what the gate holds.
    """

    def __init__(self, folder: Path, status: Path, *, health: bool, suspend: bool = False) -> None:
        self._suspend = suspend
        self.node = socket.gethostname().partition(".")[0]
        self._folder = folder
        self._env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._stack = ExitStack()
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        agent = shlex.join([sys.executable, "-m", "flopgate_agent.cli"])
        prolog, look = (self._script(name, agent, status) for name in ("prolog", "health"))
        more = [f"Prolog={prolog}", f"Epilog={look}"]
        if health:
            more += [f"HealthCheckProgram={look}", "HealthCheckInterval=2"]
        ctld_port, slurmd_port = free_ports(2)
        (folder / "cgroup.conf").touch()
        (folder / "slurm.conf").write_text(
            CONF.format(
                node=self.node,
                folder=folder,
                ctld_port=ctld_port,
                slurmd_port=slurmd_port,
                more="\n".join(more),
            )
        )

    def __enter__(self) -> Self:
        folder = self._folder
        self._start(
            "munged",
            *("-F", "--force", "--key-file", folder / "munge.key"),
            *("--socket", folder / "munge.sock", "--pid-file", folder / "munged.pid"),
            *("--log-file", folder / "munged.log", "--seed-file", folder / "munge.seed"),
        )
        until((folder / "munge.sock").exists, "munged")
        self._start("slurmctld", "-D", "-c", "-f", folder / "slurm.conf")
        self._start("slurmd", "-D", "-f", folder / "slurm.conf", "-N", self.node)
        until(lambda: "IDLE" in self.state or "DRAIN" in self.state, "the node to be there")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def state(self) -> str:
        """State and reason of the node; empty while nobody answers."""
        shown = self._run("scontrol", "show", "node", "-o", self.node).stdout
        fields = shown.partition(" State=")[2]
        return f"{fields.partition(' ')[0]} {fields.partition(' Reason=')[2]}".strip()

    @property
    def asked(self) -> int:
        """How often a script has asked the agent."""
        path = self._folder / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def submit(self, command: str) -> str:
        """A batch job; its id."""
        done = self._run("sbatch", "--parsable", "--output=/dev/null", f"--wrap={command}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, number: str) -> str:
        """State of a job, and why it waits."""
        shown = self._run("scontrol", "show", "job", "-o", number).stdout
        fields = shown.partition(" JobState=")[2].split(" ")
        return " ".join(fields[:2])

    def drain(self, reason: str) -> None:
        """What an administrator does."""
        self._run("scontrol", "update", f"NodeName={self.node}", "State=DRAIN", f"Reason={reason}")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._env, capture_output=True, text=True, check=False, timeout=WAIT_S
        )

    def _start(self, name: str, *arguments: str | Path) -> None:
        with (self._folder / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                [name, *map(str, arguments)], env=self._env, stdout=out, stderr=out
            )
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)

    def _script(self, name: str, agent: str, status: Path) -> Path:
        """The packaged script, with an agent that reads this file."""
        path = self._folder / f"{name}.sh"
        caller = self._folder / "agent"
        caller.write_text(
            f"#!/bin/sh\necho >> {self._folder}/asked\ncommand=$1; shift\n"
            f'exec {agent} "$command" --file {status} "$@"\n'
        )
        caller.chmod(0o755)
        path.write_text(
            f"#!/bin/sh\nexport FLOPGATE_AGENT={caller} SLURM_CONF={self._folder}/slurm.conf\n"
            f"export FLOPGATE_HELD={self._folder}/held\n"
            f"export FLOPGATE_SUSPEND={'yes' if self._suspend else 'no'}\n"
            f"exec {SCRIPTS / name}\n"
        )
        path.chmod(0o755)
        return path
