"""Sites: how commands, files and connections reach the login node of another cluster."""
