"""A server to play with: SSH, a small site in three versions, and a web server for it.

All of it runs inside this process, on the loopback address, and goes when it is stopped.
Rule: nothing here knows the rest of opsnb; it is the machine at the other end of the line.
"""
