"""Books for bookkeepers: what a file of sales, money or the ledger holds, line by line, and how it is written."""
