"""The one process that writes the ledger and speaks to batch systems."""
