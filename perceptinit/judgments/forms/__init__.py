"""The forms that judgments take, and how they become triplets."""
