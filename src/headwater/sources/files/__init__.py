"""Files: CSV, JSON, Parquet and files of any kind, plain and packed."""
