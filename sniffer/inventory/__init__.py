"""What is remembered: devices, their stacks, and how much was seen."""
