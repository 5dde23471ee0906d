"""A declarative desired-state reconciler for a Consul service mesh and the Postgres databases behind it."""

__version__ = "0.1.0"
