"""The record of a run: its entries, and how runs are stored, indexed and shown."""
