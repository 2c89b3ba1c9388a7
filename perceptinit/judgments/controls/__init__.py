"""Controls: judgments without people, or with less information from people."""
