"""What reads datasets and makes files of them: a room per kind of consumer."""
