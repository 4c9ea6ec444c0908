"""The judge: what a hello is worth to the destination it was made to."""
