"""The proof that no intent is executed twice and none is lost: one file a suite, `make prove` runs all."""
