"""Networks, peers and disks that fail on purpose, and the campaigns run against them."""
