"""What agents and the daemon say to each other: the messages and their codec. Pure."""
