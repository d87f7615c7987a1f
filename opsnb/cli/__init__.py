"""The command line: the same verbs in a shell.

Rule 1: what a machine reads, and the answer to a question, goes to standard output; everything
        that is said on the way (progress, questions, warnings, errors) goes to standard error.
Rule 2: the path to the first packet imports nothing it does not need: rich comes when there is
        something to show, and pandas never.
Rule 3: text that came from a server is never markup: it becomes a ``rich.text.Text``, made safe.
"""
