"""Licenses as the host's people carry them: files, paper, QR codes, and the gate's door."""
