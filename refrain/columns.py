"""The columns of a log, under our names."""

TIMES = ("timestamp", "account_created_at", "account_closed_at")
LABELS = ("conversation_id", "model", "ip", "user_agent", "payment_hash", "org_id", "api_key_id", "end_user", "channel")
COUNTS = ("tokens_in", "tokens_out")
COLUMNS = ("request_id", "account_id", *TIMES, "prompt", "system_prompt", "messages", *LABELS, *COUNTS)
ACCOUNTS = ("account_id", "api_key_id", "end_user", "org_id")  # columns that can say whose a request is
