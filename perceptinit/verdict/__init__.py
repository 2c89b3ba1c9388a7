"""Claims about an experiment, and its plan: verdict, headline, limits, yardsticks, plan, power."""
