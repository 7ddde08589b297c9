"""One file a revision, each frozen once released."""
