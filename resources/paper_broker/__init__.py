"""The paper broker: a ledger of its own, a market simulated at the open, and a door to it over HTTP."""
