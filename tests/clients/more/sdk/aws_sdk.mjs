// The AWS SDK for JavaScript against the gateway: Bedrock's invoke and converse, whole and streamed, and token counts.
// To an address with http it speaks HTTP/2 from the first byte.
import * as bedrock from "@aws-sdk/client-bedrock-runtime";
import { COMMAND, FAIL, first, MODELS, refused, RUN, STALL, tell, TOOL, UNKNOWN } from "./told.mjs";

const client = new bedrock.BedrockRuntimeClient({
  endpoint: `${process.argv[2]}/bedrock`,
  region: "us-east-1",
  credentials: { accessKeyId: "-", secretAccessKey: "-" },
  maxAttempts: 1,
});
const modelId = MODELS.bedrock;
const text = (bytes) => new TextDecoder().decode(bytes);

async function invoke() {
  const body = (messages, more = {}) =>
    JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 1000, messages, ...more });
  const turn = (words) => [{ role: "user", content: words }];
  const told = (what, reply) => {
    const words = reply.content.map((block) => block.text ?? "").join("");
    tell("invoke", what, words, { input: reply.usage.input_tokens, output: reply.usage.output_tokens });
  };
  const ask = async (turns, more = {}, model = modelId) => {
    const reply = await client.send(new bedrock.InvokeModelCommand({ modelId: model, body: body(turns, more) }));
    return JSON.parse(text(reply.body));
  };
  const events = async (turns, options = {}) => {
    const input = { modelId, body: body(turns) };
    const reply = await client.send(new bedrock.InvokeModelWithResponseStreamCommand(input), options);
    return reply.body;
  };

  told("plain", await ask(turn("hello, plain")));
  let [words, usage] = ["", {}];
  for await (const event of await events(turn("hello, streamed"))) {
    const piece = JSON.parse(text(event.chunk.bytes));
    usage = { ...usage, ...(piece.message ?? piece).usage };
    words += piece.delta?.text ?? "";
  }
  tell("invoke", "streamed", words, { input: usage.input_tokens, output: usage.output_tokens });
  const tools = [{ name: "Bash", description: "runs a command", input_schema: COMMAND }];
  const turns = turn(RUN);
  const reply = await ask(turns, { tools });
  told("tool", reply);
  const call = reply.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: call.input.command };
  turns.push({ role: "assistant", content: reply.content }, { role: "user", content: [result] });
  told("result", await ask(turns, { tools }));
  const counted = { invokeModel: { body: body(turn("hello")) } };
  const count = await client.send(new bedrock.CountTokensCommand({ modelId, input: counted }));
  tell("invoke", "count", String(count.inputTokens));
  await refused("invoke", "failed", 429, () => ask(turn(FAIL)));
  const cancel = new AbortController();
  const stream = await events(turn(STALL), { abortSignal: cancel.signal });
  tell("invoke", "cancelled", await first(stream, (event) => JSON.parse(text(event.chunk.bytes)).delta?.text));
  cancel.abort();
  await refused("invoke", "refused", 404, () => ask(turn("hello"), {}, UNKNOWN));
}

async function converse() {
  const turn = (words) => [{ role: "user", content: [{ text: words }] }];
  const told = (what, reply) => {
    const words = reply.output.message.content.map((block) => block.text ?? "").join("");
    tell("converse", what, words, { input: reply.usage.inputTokens, output: reply.usage.outputTokens });
  };
  const ask = (messages, more = {}) => client.send(new bedrock.ConverseCommand({ modelId, messages, ...more }));
  const events = async (messages, options = {}) => {
    const reply = await client.send(new bedrock.ConverseStreamCommand({ modelId, messages }), options);
    return reply.stream;
  };

  told("plain", await ask(turn("hello, plain")));
  let [words, usage] = ["", null];
  for await (const event of await events(turn("hello, streamed"))) {
    words += event.contentBlockDelta?.delta.text ?? "";
    usage = event.metadata?.usage ?? usage;
  }
  tell("converse", "streamed", words, { input: usage.inputTokens, output: usage.outputTokens });
  const toolSpec = { name: TOOL, description: "runs it", inputSchema: { json: COMMAND } };
  const toolConfig = { tools: [{ toolSpec }] };
  const turns = turn(RUN);
  const reply = await ask(turns, { toolConfig });
  told("tool", reply);
  const { message } = reply.output;
  const { toolUse } = message.content.find((block) => block.toolUse);
  const toolResult = { toolUseId: toolUse.toolUseId, content: [{ text: toolUse.input.command }], status: "success" };
  turns.push(message, { role: "user", content: [{ toolResult }] });
  told("result", await ask(turns, { toolConfig }));
  const input = { converse: { messages: turn("hello") } };
  const count = await client.send(new bedrock.CountTokensCommand({ modelId, input }));
  tell("converse", "count", String(count.inputTokens));
  await refused("converse", "failed", 429, () => ask(turn(FAIL)));
  const cancel = new AbortController();
  const stream = await events(turn(STALL), { abortSignal: cancel.signal });
  tell("converse", "cancelled", await first(stream, (event) => event.contentBlockDelta?.delta.text));
  cancel.abort();
  await refused("converse", "refused", 404, () => ask(turn("hello"), { modelId: UNKNOWN }));
}

await invoke();
await converse();
client.destroy();
