"""What is made of datasets for people, machines and programs: a room per kind of consumer."""
