"""The virtual world: the product's own code on a virtual clock, network and disk, one seed, one trace."""
