"""The pieces of `resilience demo`: the story of a lost and recovered connection, on one machine."""
