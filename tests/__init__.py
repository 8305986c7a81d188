"""All tests; a package, so that ``python -m tests.long`` finds these and no others."""
