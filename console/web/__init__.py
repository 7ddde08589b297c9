"""The console's server: a gate before everything, sign-in, roles, the REST API. Pages are console/pages/."""
