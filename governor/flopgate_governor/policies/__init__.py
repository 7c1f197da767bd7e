"""Policies: their form, what they must not say, and what they would change."""
