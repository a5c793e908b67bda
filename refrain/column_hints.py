"""Which columns of a plain table are probably which of ours, by their names: a proposal, never applied silently."""

import re
from collections.abc import Iterable

from refrain.columns import COLUMNS

# Names in lower case with "_" between words, in order of precedence. `user` and its like are left out of `account_id`'s
# certain names where a name says whom the account's holder serves (`end_user`, `customer_user`): they are `end_user`.
HINTS: dict[str, tuple[str, ...]] = {
    "request_id": ("request_id", "req_id", "requestid", "message_id", "call_id", "completion_id", "id", "uuid"),
    "account_id": (
        "account_id", "account", "accountid", "acct", "acct_id", "customer_id", "customer", "tenant_id", "tenant",
        "user_id", "userid", "user", "uid", "username", "client_id", "workspace_id",
    ),
    "timestamp": (
        "timestamp", "time", "ts", "datetime", "created_at", "created", "request_time", "requested_at", "event_time",
        "start_time", "starttime", "date",
    ),
    "account_created_at": ("account_created_at", "signup_at", "signup_time", "registered_at", "user_created_at"),
    "account_closed_at": ("account_closed_at", "banned_at", "suspended_at", "deleted_at"),
    "prompt": (
        "prompt", "user_prompt", "input", "input_text", "query", "question", "user_message", "message", "text",
        "content", "instruction", "request",
    ),
    "system_prompt": ("system_prompt", "system", "system_message", "instructions"),
    "prompt_template": ("prompt_template", "template"),
    "messages": ("messages", "conversation", "chat", "chat_history", "input_messages"),
    "conversation_id": ("conversation_id", "session_id", "thread_id", "chat_id", "sessionid", "conversation_hash"),
    "model": ("model", "model_name", "model_id", "engine", "deployment"),
    "ip": ("ip", "ip_address", "client_ip", "remote_addr", "remote_ip", "source_ip", "ip_addr", "client_address"),
    "network": ("network", "subnet", "exit_network", "ip_prefix", "ip_network"),
    "asn": (
        "asn", "as_number", "autonomous_system_number", "network_number", "client_as_number", "source_as_number",
        "client_asn",
    ),
    "user_agent": ("user_agent", "useragent", "ua", "http_user_agent", "client"),
    "payment_hash": ("payment_hash", "card_hash", "card_fingerprint", "payment_fingerprint", "payment_method_hash"),
    "org_id": ("org_id", "organization_id", "organisation_id", "organization", "org", "team_id", "company_id"),
    "api_key_id": ("api_key_id", "api_key_hash", "key_id", "api_key", "key_hash", "token_id"),
    "end_user": ("end_user", "end_user_id", "enduser", "enduser_id", "customer_user", "safety_identifier"),
    "channel": ("channel", "endpoint", "product", "surface", "route"),
    "tokens_in": ("tokens_in", "prompt_tokens", "input_tokens", "tokens_prompt"),
    "tokens_out": ("tokens_out", "completion_tokens", "output_tokens", "tokens_completion"),
}  # fmt: skip
_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


def propose(names: Iterable[str]) -> dict[str, str]:
    """Our column -> the log's, by its name alone; each of the log's columns at most once, ours in their order."""
    left: dict[str, str] = {}
    for name in names:
        left.setdefault("_".join(word.lower() for word in _WORDS.split(name) if word), name)
    found = {}
    for column in COLUMNS:
        for hint in HINTS.get(column, (column,)):
            if hint in left:
                found[column] = left.pop(hint)
                break
    return found
