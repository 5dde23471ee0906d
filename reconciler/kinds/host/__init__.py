"""What lives on a machine: files."""
