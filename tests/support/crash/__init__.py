"""`kill -9` at each call by which a real process writes durably; `make crash`."""
