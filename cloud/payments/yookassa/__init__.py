"""YooKassa: the client of one shop, behind `provider.Provider`."""
