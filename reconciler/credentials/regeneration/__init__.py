"""New credentials for a cluster whose old ones are lost or no longer to be trusted.

``place`` is where all lies on this machine, ``leadership`` whether it is the leader, ``journal`` what an interrupted run has done, ``old_tokens``
the management tokens of before; ``steps`` puts them together. ``others`` is about the other nodes of the mesh, which are set up again afterwards.
"""
