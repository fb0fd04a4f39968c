"""What decodes data of others, as targets of fuzzers: ``python -m tests.fuzz TARGET`` runs one."""
