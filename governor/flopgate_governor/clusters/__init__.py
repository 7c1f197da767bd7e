"""Which hosts are one cluster: told to their custodians, to officers, to their neighbours."""
