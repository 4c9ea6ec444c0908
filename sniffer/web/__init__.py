"""The web page: captures uploaded, devices shown, and the API for both."""
