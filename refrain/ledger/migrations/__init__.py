"""The ledger's schemas, oldest first: each file leads from the one before to the next.

A migration is never changed once a ledger may have it. It names its tables itself, since `refrain.ledger.tables` says
what they are now.
"""
