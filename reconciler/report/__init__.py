"""Plans and outcomes as text and as JSON. Values in, text out: nothing here writes, asks, or knows of the engine."""
