// Anthropic's JavaScript SDKs against the gateway: its own API, Bedrock, and Vertex AI.
import assert from "node:assert";
import { AnthropicBedrock } from "@anthropic-ai/bedrock-sdk";
import Anthropic from "@anthropic-ai/sdk";
import { AnthropicVertex } from "@anthropic-ai/vertex-sdk";
import { COMMAND, FAIL, first, MODELS, refused, RUN, STALL, tell, UNKNOWN } from "./told.mjs";

const url = process.argv[2];

async function run(api, client, model) {
  const told = (what, reply) => {
    const text = reply.content.map((block) => (block.type === "text" ? block.text : "")).join("");
    tell(api, what, text, { input: reply.usage.input_tokens, output: reply.usage.output_tokens });
  };
  const turn = (text) => [{ role: "user", content: text }];
  const ask = (messages, more = {}) => client.messages.create({ model, max_tokens: 1000, messages, ...more });

  told("plain", await ask(turn("hello, plain")));
  const stream = client.messages.stream({ model, max_tokens: 1000, messages: turn("hello, streamed") });
  told("streamed", await stream.finalMessage());
  const tools = [{ name: "Bash", description: "runs a command", input_schema: COMMAND }];
  const turns = turn(RUN);
  const reply = await ask(turns, { tools });
  told("tool", reply);
  const call = reply.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: call.input.command };
  turns.push({ role: "assistant", content: reply.content }, { role: "user", content: [result] });
  told("result", await ask(turns, { tools }));
  await refused(api, "failed", 429, () => ask(turn(FAIL)));
  tell(api, "cancelled", await first(await ask(turn(STALL), { stream: true }), (event) => event.delta?.text));
  await refused(api, "refused", 404, () => ask(turn("hello"), { model: UNKNOWN }));
}

const common = { maxRetries: 0 };
const own = new Anthropic({ baseURL: url, apiKey: "-", ...common });
await run("messages", own, MODELS.anthropic);
const counted = { messages: [{ role: "user", content: "hello" }] };
const count = await own.messages.countTokens({ model: MODELS.anthropic, ...counted });
tell("messages", "count", String(count.input_tokens));
const listed = [];
for await (const model of own.models.list()) listed.push(model.id);
assert(listed.includes(MODELS.anthropic));
const keys = { awsAccessKey: "-", awsSecretKey: "-", awsRegion: "us-east-1" };
await run("bedrock", new AnthropicBedrock({ baseURL: `${url}/bedrock`, ...keys, ...common }), MODELS.bedrock);
// It takes any client that makes head lines: no Google account is needed.
const authClient = { projectId: "a-project", getRequestHeaders: async () => new Headers({ authorization: "Bearer -" }) };
const project = { region: "global", projectId: "a-project", authClient };
const vertex = new AnthropicVertex({ baseURL: `${url}/v1`, ...project, ...common });
await run("vertex", vertex, MODELS.vertex);
const there = await vertex.messages.countTokens({ model: MODELS.vertex, ...counted });
tell("vertex", "count", String(there.input_tokens));
