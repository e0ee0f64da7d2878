"""Anthropic's Python SDK against the gateway: its own API, Bedrock, and Vertex AI."""

import sys

import anthropic
from told import COMMAND, FAIL, MODELS, RUN, STALL, UNKNOWN, refused, tell

URL = sys.argv[1]


def run(api, client, model):
    def told(case, reply):
        text = "".join(block.text for block in reply.content if block.type == "text")
        tell(api, case, text, (reply.usage.input_tokens, reply.usage.output_tokens))

    def turn(text):
        return [{"role": "user", "content": text}]

    def ask(turns, **more):
        return client.messages.create(**{"model": model, "max_tokens": 1000, "messages": turns, **more})

    told("plain", ask(turn("hello, plain")))
    with client.messages.stream(model=model, max_tokens=1000, messages=turn("hello, streamed")) as stream:
        "".join(stream.text_stream)
        told("streamed", stream.get_final_message())
    tools = [{"name": "Bash", "description": "runs a command", "input_schema": COMMAND}]
    turns = turn(RUN)
    reply = ask(turns, tools=tools)
    told("tool", reply)
    call = next(block for block in reply.content if block.type == "tool_use")
    turns += [
        {"role": "assistant", "content": reply.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": call.input["command"]}]},
    ]
    told("result", ask(turns, tools=tools))
    refused(api, "failed", anthropic.RateLimitError, lambda: ask(turn(FAIL)))
    with client.messages.stream(model=model, max_tokens=1000, messages=turn(STALL)) as stream:
        tell(api, "cancelled", next(iter(stream.text_stream)))
    refused(api, "refused", anthropic.NotFoundError, lambda: ask(turn("hello"), model=UNKNOWN))


own = anthropic.Anthropic(base_url=URL, api_key="-", max_retries=0)
run("messages", own, MODELS["anthropic"])
count = own.messages.count_tokens(model=MODELS["anthropic"], messages=[{"role": "user", "content": "hello"}])
tell("messages", "count", str(count.input_tokens))
assert MODELS["anthropic"] in [model.id for model in own.models.list()]
bedrock = anthropic.AnthropicBedrock(
    base_url=f"{URL}/bedrock", aws_access_key="-", aws_secret_key="-", aws_region="us-east-1", max_retries=0
)
run("bedrock", bedrock, MODELS["bedrock"])
vertex = anthropic.AnthropicVertex(
    base_url=f"{URL}/v1", access_token="-", project_id="a-project", region="global", max_retries=0
)
run("vertex", vertex, MODELS["vertex"])
count = vertex.messages.count_tokens(model=MODELS["vertex"], messages=[{"role": "user", "content": "hello"}])
tell("vertex", "count", str(count.input_tokens))
