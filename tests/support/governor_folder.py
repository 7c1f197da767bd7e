"""A governor's directory with a store that a test filled, for the command line."""

from pathlib import Path

from flopgate_governor.files import Layout, write_secret
from flopgate_proto.codec import envelope_to_json
from tests.support.governor import AUTHORITY, LOG, PERMIT, LocalGovernor


def folder_of(root: Path, governor: LocalGovernor) -> Path:
    """The directory of a governor whose store lies at `Layout(root).store`."""
    layout = Layout(root)
    layout.permit_key.parent.mkdir(parents=True, exist_ok=True)
    write_secret(layout.permit_key, PERMIT.pem())
    write_secret(layout.log_key, LOG.pem())
    layout.trust_root.write_text(envelope_to_json(governor.state.book.roots[0]))
    layout.config.write_text(f'authority = "{AUTHORITY}"\n')
    governor.state.store.close()
    return root
