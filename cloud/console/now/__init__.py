"""The first page: does money wait for a person, which machines do not sell, how does today go, what is wrong."""
