"""Commands of ``flopgate-sim``, one module each (see ``flopgate_sim.cli``)."""
