"""What the scripts for Python's SDKs share: one line of JSON for each request, in their order, and the prompts."""

import json

MODELS = {
    "anthropic": "claude-haiku-4-5",
    "bedrock": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "vertex": "claude-haiku-4-5@20251001",
    "gemini": "gemini-2.5-flash",
}
UNKNOWN = "no-such-model"
TOOL = "shell"
COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
RUN = "RUN: echo by-python"
# The provider falls silent in the middle of the text: who has read something leaves.
STALL = 'SCRIPT: {"text":"one two three four","stall":"mid_stream"}'
# The provider's own error, in the words of its dialect.
FAIL = 'SCRIPT: {"status":429,"error":{"message":"says the provider"}}'


def tell(api, case, text, usage=None):
    counts = usage and {"input": usage[0], "output": usage[1]}
    print(json.dumps({"api": api, "case": case, "text": text, "usage": counts}), flush=True)


def refused(api, case, error, call):
    """The call must fail so, and the error must say why."""
    try:
        call()
    except error as raised:
        tell(api, case, str(raised))
    else:
        raise AssertionError(f"{api} {case}: no error")
