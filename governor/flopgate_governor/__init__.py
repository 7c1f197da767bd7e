"""The oversight side: verify, account, decide, sign, log, push."""
