"""What lives in a Postgres server: roles and databases."""
