"""Commands of ``flopgate-agent``, one module each (see ``flopgate_agent.cli``)."""
