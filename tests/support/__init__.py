"""What the tests stand on: a real OpenSSH server, and a line to it that can fail."""
