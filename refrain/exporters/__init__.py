"""Where labels go: one module a format, each giving an `Exporter`; other packages add theirs by entry point.

An exporter reads the tables of the export contract from a folder and writes what another tool loads. docs/exports.md
has a worked example of each.
"""
