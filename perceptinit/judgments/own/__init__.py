"""Judgments in a user's own tables and matrices."""
