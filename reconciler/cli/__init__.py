"""Arguments in, exit code out. One short file per command; everything heavy is imported inside of the command that needs it."""
