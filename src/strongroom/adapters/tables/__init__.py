"""Parquet files: portfolios and batches to score."""
