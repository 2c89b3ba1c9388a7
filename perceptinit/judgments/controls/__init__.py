"""Judgments without people, or with less of what people said."""
