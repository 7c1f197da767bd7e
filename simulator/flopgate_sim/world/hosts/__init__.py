"""Hosts of the world: production gates and couriers, and the machines around them."""
