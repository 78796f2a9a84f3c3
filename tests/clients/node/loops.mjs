// Leads the Vercel AI SDK through the loop of tools of `loops_client.py`, streamed, with one of its providers.
//
// Usage: node loops.mjs PROVIDER BASE_URL MODEL   prints the final text.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { jsonSchema, stepCountIs, streamText, tool } from "ai";

const [provider, address, model] = process.argv.slice(2);
const apiKey = "no-key-is-asked-for";
const baseURL = `${address}/v1`;
const models = {
  responses: () => createOpenAI({ baseURL, apiKey })(model),
  chat: () => createOpenAI({ baseURL, apiKey }).chat(model),
  compatible: () => createOpenAICompatible({ name: "ringgate", baseURL, apiKey, includeUsage: true })(model),
  anthropic: () => createAnthropic({ baseURL, apiKey })(model),
  google: () => createGoogleGenerativeAI({ baseURL: `${address}/v1beta`, apiKey })(model),
};
const integer = { type: "integer" };
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const numbers = { type: "object", properties: { a: integer, b: integer }, required: ["a", "b"] };
const tools = {
  get_weather: tool({
    description: "Tells the weather of a city",
    inputSchema: jsonSchema(city),
    execute: async ({ city }) => `18 degrees in ${city}`,
  }),
  get_time: tool({
    description: "Tells the time",
    inputSchema: jsonSchema({ type: "object", properties: {} }),
    execute: async () => "12:00",
  }),
  add: tool({
    description: "Adds two numbers",
    inputSchema: jsonSchema(numbers),
    execute: async ({ a, b }) => `the sum is ${a + b}`,
  }),
};
const stream = streamText({
  model: models[provider](),
  system: "Be brief.",
  prompt: "What is the weather?",
  tools,
  stopWhen: stepCountIs(8),
  maxRetries: 0,
  onError: ({ error }) => {
    console.error(error);
    process.exitCode = 1;
  },
});
// The text of the last step only: some steps say something beside their calls.
const steps = await stream.steps;
console.log(steps.at(-1).text);
