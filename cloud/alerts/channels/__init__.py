"""Where alerts go: one sender for each kind of channel, all behind `sender.Sender`. None knows an incident."""
