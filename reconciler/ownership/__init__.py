"""What this tool made, and who may change it now: the ownership records and the lock, both in Consul's KV store."""
