"""PostgreSQL: tables, migrations, queries and the statements of the hot path.

The only package that knows SQL. Every statement that needs the time takes it as a parameter, or
asks `defib_now()`, the one clock of the database, so that the simulator can move it.
"""
