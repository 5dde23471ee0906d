"""Real servers for the tests, the demo and the sandbox, on loopback only, and proxies that count what is written to them.

A server is a context manager. It is stopped by the process id of what was started, also when whoever started it is killed
(:mod:`tests.servers.supervisor`). Nothing here looks for, or stops, a server that it did not start.
"""
