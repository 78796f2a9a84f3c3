// Drives the gateway with the real client packages for Node: openai, the Vercel AI SDK, portkey-ai.
//
// Usage: node clients.mjs GATEWAY_URL DIALECT...   where the gateway knows a provider by the name of each
// dialect. One line per check; exit status 1 if any check fails. `scripts/test-clients` calls it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";
import { Portkey } from "portkey-ai";

const [address, ...dialects] = process.argv.slice(2);
const apiKey = "no-key-is-asked-for";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const messages = (content) => [{ role: "user", content }];

let passed = 0;
let failed = 0;

async function check(name, run) {
  const started = performance.now();
  try {
    await run();
    passed += 1;
    console.log(`ok   ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    // A failed check must not hide the ones after it.
    failed += 1;
    console.log(`FAIL ${name}\n${error.stack ?? error}`);
  }
}

async function openaiChat(client, model) {
  const asked = { model, messages: messages("Hello there"), max_tokens: 99 };
  const answer = await client.chat.completions.create(asked);
  const text = answer.choices[0].message.content;
  assert.ok(text);
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.equal(streamed, text);
  const tools = [{ type: "function", function: { name: "get_weather", parameters: schema } }];
  const runner = client.chat.completions.stream({
    ...asked,
    messages: messages("call the tool"),
    tools,
  });
  const final = await runner.finalChatCompletion();
  const call = final.choices[0].message.tool_calls[0];
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "x" });
}

async function openaiResponses(client, model) {
  const asked = { model, input: "Hello there", max_output_tokens: 99 };
  const answer = await client.responses.create(asked);
  assert.ok(answer.output_text);
  const final = await client.responses.stream(asked).finalResponse();
  assert.equal(final.output_text, answer.output_text);
}

async function aiSdk(model) {
  const answer = await generateText({ model, prompt: "Hello there", maxRetries: 0, maxOutputTokens: 500 });
  assert.ok(answer.text);
  assert.ok(answer.usage.outputTokens > 0);
  const stream = streamText({ model, prompt: "Hello there", maxRetries: 0, maxOutputTokens: 500 });
  assert.equal(await stream.text, answer.text);
  const tools = {
    get_weather: tool({ description: "Tells the weather", inputSchema: jsonSchema(schema) }),
  };
  const calling = streamText({ model, prompt: "call the tool", tools, maxRetries: 0, maxOutputTokens: 500 });
  const calls = await calling.toolCalls;
  assert.deepEqual(calls[0].input, { city: "x" });
}

async function portkey(dialect) {
  const client = new Portkey({ baseURL: `${address}/v1`, apiKey, provider: `@${dialect}` });
  const answer = await client.chat.completions.create({
    model: "model-1",
    messages: messages("Hello there"),
    max_tokens: 99,
  });
  assert.ok(answer.choices[0].message.content);
}

async function routed(config) {
  const asked = { model: "model-1", messages: messages("Hello there"), max_tokens: 99 };
  const metadata = { plan: "paid" };
  const client = new Portkey({ baseURL: `${address}/v1`, apiKey, config, metadata });
  const answer = await client.chat.completions.create(asked);
  assert.ok(answer.choices[0].message.content);
  assert.match(answer.getHeaders()["last-used-option-index"], /^config/);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.ok(text);
}

const client = new OpenAI({ baseURL: `${address}/v1`, apiKey, maxRetries: 0, maxOutputTokens: 500 });
const ofOpenai = createOpenAI({ baseURL: `${address}/v1`, apiKey });
const ofAnthropic = createAnthropic({ baseURL: `${address}/v1`, apiKey });
const compatible = createOpenAICompatible({
  name: "ringgate",
  baseURL: `${address}/v1`,
  apiKey,
  includeUsage: true,
});
for (const dialect of dialects) {
  const model = `${dialect}/model-1`;
  await check(`node openai, chat from ${dialect}`, () => openaiChat(client, model));
  await check(`node openai, responses from ${dialect}`, () => openaiResponses(client, model));
  await check(`ai sdk, responses from ${dialect}`, () => aiSdk(ofOpenai(model)));
  await check(`ai sdk, chat from ${dialect}`, () => aiSdk(compatible(model)));
  await check(`ai sdk, anthropic from ${dialect}`, () => aiSdk(ofAnthropic(model)));
  await check(`node portkey-ai, chat from ${dialect}`, () => portkey(dialect));
}
const configs = JSON.parse(readFileSync(new URL("configs.json", import.meta.url)));
for (const [mode, config] of Object.entries(configs)) {
  await check(`node portkey-ai, ${mode} inline`, () => routed(config));
  await check(`node portkey-ai, ${mode} by name`, () => routed(mode));
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
