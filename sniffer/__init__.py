"""HelloWatch: everything that touches the world."""
