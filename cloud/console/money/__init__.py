"""Money: what is at risk and who must look, how our books stand against the providers'."""
