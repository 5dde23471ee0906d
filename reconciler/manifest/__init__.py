"""From the text of a manifest to validated models: positions, merging of overlays, models, rules between entries, the JSON Schema.

Nothing in here talks to a live system, and no secret reference is resolved: ``validate`` runs without any secret.
"""
