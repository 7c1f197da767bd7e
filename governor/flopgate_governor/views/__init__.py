"""What the store shows to those who ask: nothing here decides or writes."""
