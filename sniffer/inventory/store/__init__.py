"""The inventory on disk: SQLite, or PostgreSQL by its address, through the same code."""
