"""Charts of sales: cups, sums, failures, hours and waits of any period against the one before, from `sales_days`."""
