"""The journal's adapter: schema, migrations, the store that writes, the reader for the console, the lock.

Here: SQL.  Not here: what may follow what (`trading.lifecycle`), what a caller may ask (`trading.journal`).
"""
