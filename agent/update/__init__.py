"""Another version of this program: fetched, checked, tried, and put back when it does not come up well."""
