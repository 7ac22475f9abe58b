"""The race: clients others would write, and ours, under the same faults in the same run.

Each client is a program of its own that tries a ping every 20 ms for as long as it lives and prints what
became of each, one JSON object per line. None of them knows about the faults or the clock they are judged by.
"""
