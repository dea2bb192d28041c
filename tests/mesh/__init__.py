"""A small mesh of real Envoys on loopback that records the sample logs and what truly happened."""
