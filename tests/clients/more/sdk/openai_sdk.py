"""OpenAI's Python SDK against the gateway: chat completions and responses."""

import json
import sys

import openai
from told import COMMAND, FAIL, RUN, STALL, TOOL, UNKNOWN, refused, tell

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="-", max_retries=0)


def chat():
    def told(case, reply):
        usage = reply.usage.prompt_tokens, reply.usage.completion_tokens
        tell("chat", case, reply.choices[0].message.content or "", usage)

    def turn(text):
        return [{"role": "user", "content": text}]

    def ask(turns, model="gpt-4o", **more):
        return client.chat.completions.create(model=model, messages=turns, **more)

    told("plain", ask(turn("hello, chat")))
    # Usage is not asked for, so no piece may carry any, although the gateway learns it.
    text = ""
    for chunk in ask(turn("hello, chat streamed"), stream=True):
        assert chunk.usage is None and len(chunk.choices) == 1, chunk
        text += chunk.choices[0].delta.content or ""
    tell("chat", "streamed", text)
    text, usage = "", None
    for chunk in ask(turn("hello, chat with usage"), stream=True, stream_options={"include_usage": True}):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    tell("chat", "streamed", text, (usage.prompt_tokens, usage.completion_tokens))

    tools = [{"type": "function", "function": {"name": TOOL, "parameters": COMMAND}}]
    turns = turn(RUN)
    reply = ask(turns, tools=tools)
    told("tool", reply)
    message = reply.choices[0].message
    call = message.tool_calls[0]
    turns += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": json.loads(call.function.arguments)["command"]},
    ]
    told("result", ask(turns, tools=tools))
    refused("chat", "failed", openai.RateLimitError, lambda: ask(turn(FAIL)))
    stream = ask(turn(STALL), stream=True)
    text = next(piece for piece in (chunk.choices[0].delta.content for chunk in stream) if piece)
    stream.close()
    tell("chat", "cancelled", text)
    refused("chat", "refused", openai.NotFoundError, lambda: ask(turn("hello"), model=UNKNOWN))


def responses():
    def told(case, reply):
        tell("responses", case, reply.output_text, (reply.usage.input_tokens, reply.usage.output_tokens))

    def ask(items, model="gpt-5", **more):
        return client.responses.create(model=model, input=items, **more)

    told("plain", ask("hello, responses"))
    last = None
    for event in ask("hello, responses streamed", stream=True):
        last = event
    assert last.type == "response.completed", last
    told("streamed", last.response)

    tools = [{"type": "function", "name": TOOL, "parameters": COMMAND, "strict": False}]
    items = [{"role": "user", "content": RUN}]
    reply = ask(items, tools=tools)
    told("tool", reply)
    call = next(item for item in reply.output if item.type == "function_call")
    items += [
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": json.loads(call.arguments)["command"]},
    ]
    told("result", ask(items, tools=tools))
    refused("responses", "failed", openai.RateLimitError, lambda: ask(FAIL))
    stream = ask(STALL, stream=True)
    text = next(event.delta for event in stream if event.type == "response.output_text.delta")
    stream.close()
    tell("responses", "cancelled", text)
    refused("responses", "refused", openai.NotFoundError, lambda: ask("hello", model=UNKNOWN))


chat()
responses()
assert "gpt-5" in [model.id for model in client.models.list()]
