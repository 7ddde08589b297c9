"""Advisors: who asks a model, and who plays one in tests; a decided session is read from its record."""
