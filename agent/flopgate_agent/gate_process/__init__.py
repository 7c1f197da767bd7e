"""The gate's process: what stands between the core in `gate` and a real host.

``process`` is the loop; the other modules are its door, its hand upon jobs, and what it reads of
the host. Nothing here decides, opens a network socket or imports grpc.
"""
