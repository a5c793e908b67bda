"""Finds distillation campaigns in prompt logs: texts that recur over accounts that seem to have nothing in common.

Tables and arrays in, tables and arrays out. Nothing here imports torch or prefect.
"""

__version__ = "0.1.0"
