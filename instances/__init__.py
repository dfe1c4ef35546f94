"""The domain: what is wanted, what was asked for, and what is there."""
