"""The strategies: one file each, a few lines that say what to want from a window of past sessions.

Here: functions from a read-only window that ends the session before to a wish per symbol.
Not here: sizing, guards, orders.  A strategy cannot send anything and sees no bar of the session it decides.
Next door: `trading.council` weighs the wishes, `trading.allocation` sizes them.
"""
