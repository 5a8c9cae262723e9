"""Many runs at once beside their peers: see README.md of the folder above, "Many runs at once"."""
