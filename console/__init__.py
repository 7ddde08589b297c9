"""The operator's hands: the actions a person takes, and the command line that offers them.

Here: approve, halt, explain, trace, report, and the launcher that asks the graph to run.
Not here: rules of trading (`trading`), storage and brokers (`resources`).
"""
