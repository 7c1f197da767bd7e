"""The oversight side: verify, account, decide, sign, log, push.

A report's way: `service` takes it off the wire, `receive` verifies and parses it, `commit` gathers
what arrived meanwhile, `batch` is one transaction with its `working_set`: facts from `store` go
through `core`, which decides, and rows go back; `replies` signs what each host is told. `state` is
what the one writer remembers in between.

What officers type starts in `commands`, one file each; what they share stands in `desk`.

Who may import whom stands in pyproject.toml (`governor-in-layers`, ADR 40), checked by `make lint`.
"""
