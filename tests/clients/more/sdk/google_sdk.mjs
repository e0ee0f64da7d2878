// Google's JavaScript SDK against the gateway: Gemini's API, and Vertex AI.
import assert from "node:assert";
import { GoogleGenAI } from "@google/genai";
import { COMMAND, FAIL, first, MODELS, refused, RUN, STALL, tell, TOOL, UNKNOWN } from "./told.mjs";

const httpOptions = { baseUrl: process.argv[2], retryOptions: { attempts: 1 } };
const model = MODELS.gemini;

async function run(api, client) {
  const told = (what, reply, text) => {
    const usage = reply.usageMetadata;
    tell(api, what, text ?? "", { input: usage.promptTokenCount, output: usage.candidatesTokenCount });
  };
  const ask = (contents, more = {}) => client.models.generateContent({ model, contents, ...more });

  const plain = await ask("hello, plain");
  told("plain", plain, plain.text);
  let text = "";
  let last;
  for await (const chunk of await client.models.generateContentStream({ model, contents: "hello, streamed" })) {
    text += chunk.text ?? "";
    last = chunk;
  }
  told("streamed", last, text);
  const declaration = { name: TOOL, description: "runs it", parametersJsonSchema: COMMAND };
  const config = { tools: [{ functionDeclarations: [declaration] }] };
  const contents = [{ role: "user", parts: [{ text: RUN }] }];
  const reply = await ask(contents, { config });
  told("tool", reply, "");
  const call = reply.functionCalls[0];
  const functionResponse = { id: call.id, name: call.name, response: { output: call.args.command } };
  contents.push(reply.candidates[0].content, { role: "user", parts: [{ functionResponse }] });
  const answer = await ask(contents, { config });
  told("result", answer, answer.text);
  const count = await client.models.countTokens({ model, contents: "hello" });
  tell(api, "count", String(count.totalTokens));
  await refused(api, "failed", 429, () => ask(FAIL));
  const cancel = new AbortController();
  const more = { model, contents: STALL, config: { abortSignal: cancel.signal } };
  tell(api, "cancelled", await first(await client.models.generateContentStream(more), (chunk) => chunk.text));
  cancel.abort();
  await refused(api, "refused", 404, () => ask("hello", { model: UNKNOWN }));
}

const gemini = new GoogleGenAI({ apiKey: "-", httpOptions });
await run("gemini", gemini);
const listed = [];
for await (const found of await gemini.models.list()) listed.push(found.name);
assert(listed.includes(`models/${model}`), JSON.stringify(listed));
// What stands for a Google account: the gateway has its own.
const authClient = { getRequestHeaders: async () => new Headers({ authorization: "Bearer -" }) };
const place = { project: "a-project", location: "global", googleAuthOptions: { authClient } };
await run("google", new GoogleGenAI({ vertexai: true, ...place, httpOptions }));
