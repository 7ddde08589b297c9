"""The verbs of `trading`, one module a kind: what is read, what is decided by people, what is run.

A verb reads its arguments, calls one function of `console`, prints what it returns and ends with its code.
"""
