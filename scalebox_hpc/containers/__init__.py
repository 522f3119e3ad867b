"""Images as first-class things: found, fetched once, checked, kept by their content."""
