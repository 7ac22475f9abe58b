"""The sessions of one supervisor: what every image's user works on, kept while no connection waits for it.

`keeper` is what the rest of the runtime uses. `reading` and `handover` are what it is made of, `kept` is one
session as the loop knows it, `keyholder` has the keys, `saver` and `turns` decide what is written when.
"""
