"""How a journal of an older version becomes one of this: Alembic, forward only, inside one transaction.

The store runs it on opening a file that needs it; nobody else does.
"""
