"""Consul, as a client sees it: requests in, values or one of the errors of :mod:`reconciler.model.errors` out. No other code talks to Consul."""
