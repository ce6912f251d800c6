"""Delta tables: the log, its versions, writing, cleaning, compaction; a store made of them says what it is called."""
