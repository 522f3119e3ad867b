"""The relay: carries the connections of a remote site's agents over one line to the daemon at home."""
