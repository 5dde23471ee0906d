"""The only code that talks to live systems. Nothing in here decides anything."""
