"""The one way out: an HTTP client with time-outs, limits, breakers and a record of every call."""
