"""Kubernetes sees a node as flopgate does: a taint keeps pods away, a condition says why."""
