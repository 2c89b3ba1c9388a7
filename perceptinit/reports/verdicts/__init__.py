"""What a comparison comes to: decisions, answers, the headline, and what seeds can find."""
