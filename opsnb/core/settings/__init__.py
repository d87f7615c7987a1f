"""What can be said of a project, an environment or a server: a file for each subject.

Rule 1: a key stands where its subject is; ``core/config.py`` puts the subjects together.
Rule 2: a subject checks what it can check by itself; what two of them must agree on, config does.
"""
