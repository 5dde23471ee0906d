"""From what is live, or from Consul's own files, to a manifest whose plan has nothing but adoptions.

    kinds find what is live → each says it as an entry → what was asked for is chosen → text → read back and compared → printed

Nothing here knows a kind by name: one that has the methods of ``ImportableKind`` takes part.
"""
