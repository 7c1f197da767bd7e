"""Hosts join: tokens, enrolment, what their TPMs quote."""
