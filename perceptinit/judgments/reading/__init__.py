"""Reading columns, matrices and image names of tables."""
