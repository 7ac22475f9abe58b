"""Pictures of the connection machine, drawn from its one table: `python -m diagrams [--check]`."""
