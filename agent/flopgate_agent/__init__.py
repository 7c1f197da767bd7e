"""The host side: gate (meters, enforces, signs) and courier (carries envelopes)."""
