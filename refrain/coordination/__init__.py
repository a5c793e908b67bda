"""Is that many owners sing one refrain a coincidence? Tests by family, each against matched controls."""
