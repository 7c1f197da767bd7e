"""In the simulated cluster, through crashes and restarts: governors hold what hosts told."""

import tempfile
from pathlib import Path

from flopgate_governor.store.topologies import load_topologies
from flopgate_sim.disk import DiskLayer
from flopgate_sim.scenario import find
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.hardware.topology import topology_of
from flopgate_sim.world.nature.signatures import scheme
from flopgate_sim.world.world import World


def test_each_governor_holds_the_topology_of_each_host_that_it_admitted() -> None:
    seed = 7
    plan = plan_of(find("tiny-faults"), seed)
    with (
        scheme("cheap"),
        tempfile.TemporaryDirectory() as folder,
        DiskLayer(Path(folder)) as disks,
    ):
        world = World(plan, seed, disks)
        try:
            world.run()
            assert world.broken is None
            told = 0
            for governor in world.governors:
                assert governor.state is not None
                with governor.state.store.transaction() as connection:
                    held = load_topologies(connection)
                for host in world.hosts:
                    if host.host_id not in governor.state.chains:
                        continue
                    assert governor.state.chains[host.host_id].facts.sequence > 1
                    _, topology = held[host.host_id]
                    assert topology == topology_of(host.plan, host.hardware, world.streams)
                    told += 1
            assert told
        finally:
            world.close()
