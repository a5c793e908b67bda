"""The columns of a log, under our names."""

TIMES = ("timestamp", "account_created_at", "account_closed_at")
LABELS = (
    "conversation_id", "model", "ip", "network", "asn", "user_agent", "payment_hash", "org_id", "api_key_id",
    "end_user", "channel",
)  # fmt: skip
COUNTS = ("tokens_in", "tokens_out")
TEXTS = ("prompt", "system_prompt", "prompt_template", "messages")
COLUMNS = ("request_id", "account_id", *TIMES, *TEXTS, *LABELS, *COUNTS)
# Columns that say who somebody is or where: those that can be hashed at the door.
HASHABLE = (
    "request_id", "account_id", "conversation_id", "ip", "network", "asn", "user_agent", "payment_hash", "org_id",
    "api_key_id", "end_user",
)  # fmt: skip
ACCOUNTS = ("account_id", "api_key_id", "end_user", "org_id")  # columns that can say whose a request is
