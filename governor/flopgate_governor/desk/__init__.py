"""An officer's desk: the line to the running governor, officers' keys, what is printed."""
