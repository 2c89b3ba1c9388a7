"""Plug-ins: found, listed, described, built from a table, and new ones made from templates."""
