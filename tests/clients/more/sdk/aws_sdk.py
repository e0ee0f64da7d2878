"""boto3 against the gateway: Bedrock's invoke and converse, whole and streamed, and token counts."""

import json
import sys

import boto3
from botocore.config import Config
from told import COMMAND, FAIL, MODELS, RUN, STALL, TOOL, UNKNOWN, refused, tell

# Over http it refuses to send a bearer key, so it signs; the gateway drops that.
client = boto3.client(
    "bedrock-runtime",
    endpoint_url=f"{sys.argv[1]}/bedrock",
    region_name="us-east-1",
    aws_access_key_id="-",
    aws_secret_access_key="-",
    config=Config(retries={"total_max_attempts": 1}),
)
MODEL = MODELS["bedrock"]
ERRORS = client.exceptions


def invoke():
    def body(turns, **more):
        return json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1000, "messages": turns, **more})

    def turn(text):
        return [{"role": "user", "content": text}]

    def ask(turns, model=MODEL, **more):
        reply = client.invoke_model(modelId=model, body=body(turns, **more))
        return json.loads(reply["body"].read())

    def told(case, reply):
        text = "".join(block.get("text", "") for block in reply["content"])
        tell("invoke", case, text, (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]))

    def events(turns):
        reply = client.invoke_model_with_response_stream(modelId=MODEL, body=body(turns))
        return reply["body"], (json.loads(event["chunk"]["bytes"]) for event in reply["body"])

    told("plain", ask(turn("hello, plain")))
    text, usage = "", {}
    for event in events(turn("hello, streamed"))[1]:
        usage |= event.get("message", event).get("usage", {})
        text += event.get("delta", {}).get("text", "")
    tell("invoke", "streamed", text, (usage["input_tokens"], usage["output_tokens"]))
    tools = [{"name": "Bash", "description": "runs a command", "input_schema": COMMAND}]
    turns = turn(RUN)
    reply = ask(turns, tools=tools)
    told("tool", reply)
    call = next(block for block in reply["content"] if block["type"] == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": call["input"]["command"]}
    turns += [{"role": "assistant", "content": reply["content"]}, {"role": "user", "content": [result]}]
    told("result", ask(turns, tools=tools))
    count = client.count_tokens(modelId=MODEL, input={"invokeModel": {"body": body(turn("hello"))}})
    tell("invoke", "count", str(count["inputTokens"]))
    refused("invoke", "failed", ERRORS.ThrottlingException, lambda: ask(turn(FAIL)))
    stream, pieces = events(turn(STALL))
    text = next(piece for piece in (event.get("delta", {}).get("text") for event in pieces) if piece)
    stream.close()
    tell("invoke", "cancelled", text)
    refused("invoke", "refused", ERRORS.ResourceNotFoundException, lambda: ask(turn("hello"), model=UNKNOWN))


def converse():
    def turn(text):
        return [{"role": "user", "content": [{"text": text}]}]

    def ask(turns, model=MODEL, **more):
        return client.converse(modelId=model, messages=turns, inferenceConfig={"maxTokens": 1000}, **more)

    def told(case, reply):
        text = "".join(block.get("text", "") for block in reply["output"]["message"]["content"])
        tell("converse", case, text, (reply["usage"]["inputTokens"], reply["usage"]["outputTokens"]))

    told("plain", ask(turn("hello, plain")))
    text, usage = "", None
    for event in client.converse_stream(modelId=MODEL, messages=turn("hello, streamed"))["stream"]:
        text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        usage = event.get("metadata", {}).get("usage", usage)
    tell("converse", "streamed", text, (usage["inputTokens"], usage["outputTokens"]))
    tools = {"tools": [{"toolSpec": {"name": TOOL, "description": "runs it", "inputSchema": {"json": COMMAND}}}]}
    turns = turn(RUN)
    reply = ask(turns, toolConfig=tools)
    told("tool", reply)
    message = reply["output"]["message"]
    call = next(block["toolUse"] for block in message["content"] if "toolUse" in block)
    result = {"toolUseId": call["toolUseId"], "content": [{"text": call["input"]["command"]}], "status": "success"}
    turns += [message, {"role": "user", "content": [{"toolResult": result}]}]
    told("result", ask(turns, toolConfig=tools))
    count = client.count_tokens(modelId=MODEL, input={"converse": {"messages": turn("hello")}})
    tell("converse", "count", str(count["inputTokens"]))
    refused("converse", "failed", ERRORS.ThrottlingException, lambda: ask(turn(FAIL)))
    stream = client.converse_stream(modelId=MODEL, messages=turn(STALL))["stream"]
    pieces = (event.get("contentBlockDelta", {}).get("delta", {}).get("text") for event in stream)
    text = next(piece for piece in pieces if piece)
    stream.close()
    tell("converse", "cancelled", text)
    refused("converse", "refused", ERRORS.ResourceNotFoundException, lambda: ask(turn("hello"), model=UNKNOWN))


invoke()
converse()
