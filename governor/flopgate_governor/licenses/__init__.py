"""Licenses for hosts without a link: given in one transaction, told to people and programs."""
