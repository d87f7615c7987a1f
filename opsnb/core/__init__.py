"""What opsnb knows and decides. Pure: no clock, no file system, no network, no environment."""
