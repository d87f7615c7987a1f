"""A server that gives an account nothing but SFTP: no shell, no programs."""
