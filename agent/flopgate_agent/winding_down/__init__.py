"""A service of the operator's that runs a command as the job's user when a lane winds down.

Outside the gate: that may neither become another user nor see what jobs see, and waits for nobody.
"""
