"""Values only: what is said between the parts of the program. Nothing in here does I/O."""
