"""Claims about an experiment, and its plan: verdict, headline, limits, published scores, plan, power."""
