"""The kinds that live in Consul."""
