"""The lake: one immutable Parquet file per asset and session, named by its content, behind an atomic pointer.

Here: `codec` (rows ↔ typed tables), `files` (a folder or an object store), `store` (the lake itself),
`io_manager` (Dagster writes and reads assets through it), `window` (the only way to quotes that a decision
has), `query` (DuckDB in memory over the current files).
Not here: the live state, which is the journal's; what the rows mean, which is `trading`'s.
"""
