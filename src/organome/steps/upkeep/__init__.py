"""Keep a cohort over the years: withdrawals, retries, releases."""
