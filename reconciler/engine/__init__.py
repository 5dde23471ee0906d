"""From a manifest to a plan and from a plan to an outcome.

``observe`` and ``apply`` talk to the live systems; ``diff``, ``settle``, ``plan`` and ``guard`` are functions from values to values and reach no
I/O, not even indirectly.
"""
