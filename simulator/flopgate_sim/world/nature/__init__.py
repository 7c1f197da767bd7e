"""Time, chance, wires and disks of a world."""
