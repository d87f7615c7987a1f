"""What a notebook shows: objects that draw themselves, the running change, the console.

Rule 1: a widget is never the record. What a change did also stands there as plain output.
Rule 2: a widget's callback only submits work: which thread it runs on depends on the kernel.
Rule 3: text becomes HTML in ``html.py`` alone, where it is escaped.
"""
