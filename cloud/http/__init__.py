"""HTTP itself, in and out: framing, bodies, addresses, deadlines. Knows no order and no provider."""
