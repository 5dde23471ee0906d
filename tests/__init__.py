"""The tests. What they need of real servers is in :mod:`tests.servers`, and as fixtures in :mod:`tests.conftest`."""
