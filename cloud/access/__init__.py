"""Who may do what: users, their sessions and roles, the table of roles and acts, and the journal of what they did."""
