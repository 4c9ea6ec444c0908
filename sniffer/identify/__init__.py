"""Evidence to name, vendor, place and class of a device. A guess is never made of it."""
