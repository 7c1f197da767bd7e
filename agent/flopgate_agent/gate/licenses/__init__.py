"""All licenses of a host: checked, reserved, spent, written down. No I/O."""
