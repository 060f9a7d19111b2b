"""The other end of alerts: Telegram's and MAX's bot APIs, a mailbox behind SMTP, a merchant's own program."""
