"""Carbonio's cluster credentials: an OpenPGP archive with the gossip key, the ACL bootstrap token, and the agents' CA with its key.

``archive`` is values only; nothing of an archive is ever on disk but encrypted. Stands just above ``systems``, so that whoever resolves a secret
can ask for the token in an archive.
"""
