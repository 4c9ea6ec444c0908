"""What makes the tables, and changes them from one release to the next."""
