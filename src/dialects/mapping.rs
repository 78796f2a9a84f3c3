//! The page `docs/translation.md`: what every client's dialect becomes in every provider's.
//!
//! It is made by running the dialects themselves, over the requests of `golden/` and over probes that
//! each say one thing, so that it cannot promise what the code does not do. The test below compares it
//! with what is committed, and writes it anew when the variable `RINGGATE_BLESS` is set.

mod answers;
mod cases;
mod notes;
mod requests;
mod table;

use super::codec::Codec;
use super::{DIALECTS, codec};
use crate::llm::Dialect;

/// Dialects that clients speak, and the path on which they do.
const CLIENTS: [(Dialect, &str); 4] = [
    (Dialect::OpenaiChat, "`/v1/chat/completions`"),
    (Dialect::OpenaiResponses, "`/v1/responses`"),
    (Dialect::AnthropicMessages, "`/v1/messages`"),
    (Dialect::Gemini, "`/v1beta/models/MODEL:generateContent`, `:streamGenerateContent`"),
];

/// Paths of clients whose requests this page does not go through: what they can say is the vendor's
/// column.
const NATIVE_CLIENTS: [(Dialect, &str); 2] = [
    (Dialect::BedrockConverse, "`/model/MODEL/converse`, `/model/MODEL/converse-stream`"),
    (Dialect::CohereChat, "`/v2/chat`"),
];

/// Whose API it is, and the model that the page asks for: some of what is written depends on it.
const VENDORS: [(Dialect, &str, &str); 6] = [
    (Dialect::OpenaiChat, "OpenAI's chat completions", "gpt-5.1"),
    (Dialect::OpenaiResponses, "OpenAI's responses", "gpt-5.1"),
    (Dialect::AnthropicMessages, "Anthropic's messages", "claude-sonnet-4-5"),
    (Dialect::Gemini, "Google's generateContent", "gemini-2.5-pro"),
    (Dialect::BedrockConverse, "Amazon's Converse", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    (Dialect::CohereChat, "Cohere's chat, version 2", "command-a-reasoning-08-2025"),
];

const INTRODUCTION: &str = "\
# Translation

A client speaks the dialect of its library, a provider that of its vendor. Where the two are the same,
the client's bytes are forwarded as they are. Where they differ, Ringgate reads the request, writes it
in the provider's dialect, and brings the answer back, whole or as a stream, in the client's.

What the provider's dialect cannot say has one of three ends:

- **changed**: it is said in another way, near to what was meant;
- **dropped**: it is left out, since the answer stays an answer to the same question;
- **refused**: the client gets a 400, since without it the question would be another one.

What is changed or dropped is told in the answer's header `x-ringgate-warnings`, in the words of this
page, and in the event of the request log. So is every member that Ringgate does not know: it travels to
a provider of its own dialect, and no other.

This page is made by running the translation itself, over the requests in `src/dialects/golden/` and over
probes that each say one thing; `RINGGATE_BLESS=1 cargo test mapping` writes it anew. It shows what the
vendors themselves get, before the rules for single models below. Those who imitate one of them (a vLLM of your own, say) get some members more:
where OpenAI refuses `top_k`, `min_p`, `cache_control` and thoughts in its chat, its imitators are sent them.
";

const MODELS: &str = "
## What single models accept

A dialect says what can be written; a model may refuse part of it. The table `models/rules.toml` holds
what is known of vendors and model families, and a translated request follows it:

- settings that the model refuses are left out (a temperature beside the thoughts of GPT-5, any at the
  newer models of Claude, `top_k` at Groq), and an effort that it does not have becomes the nearest one;
- a model that refuses a forced call (Claude Opus and Sonnet from 5.5 on) chooses itself;
- thinking is turned on and off in the vendor's own way (DeepSeek, Kimi, GLM, Qwen), and asked for with a
  budget or an effort, as the model has it (Claude, Gemini); a model that cannot be told not to think is
  asked for its least;
- a bound of the answer stays within what the model gives, and where Anthropic requires one and the
  client says none, it is the most that the model gives;
- names of tools that are too long are shortened and restored in the answer; a hash stands for the name
  of an end user that is too long; ids of calls get the form that Mistral takes;
- thoughts of earlier turns are left out where the vendor refuses them, and a space stands for them
  where the vendor requires them in a conversation with calls (DeepSeek, Kimi);
- a conversation that ends with the model's words is marked in the vendor's way for the model to go on
  with them (Mistral, Kimi, Qwen; vLLM and SGLang), and gets a message of the user that asks to go on
  where the model takes no answer that is begun (Claude from 4.6 on, and older ones while they think;
  Gemini from 3.6 on; Qwen while it thinks; DeepSeek; Perplexity; Llama on Bedrock);
- on Amazon Bedrock each family gets its own members, cache points and ids of calls; messages of the system
  inside the conversation, schemas for the answer, signed calls and pictures inside the result of a tool
  go to those models of Claude and Gemini that take them;
- schemas of answers and of tools are written in the subset that the vendor takes, and the description
  has what it lacks; a strict schema with optional members loses `strict` at OpenAI, which takes required
  members only: as a union with null such a member would be null in the answer where the client expects
  none;
- OpenAI's reasoning models are asked by `/responses` for clients of other dialects, and for clients of
  its chat completions too where only `/responses` serves the model, or tools beside an effort.

Where the client's dialect is the provider's, bytes are forwarded as they are, with these exceptions:
the bound of an answer and the seed get the name that the vendor knows, Mistral is sent no
`stream_options`, and thoughts that another vendor has signed, or that the vendor refuses, are taken out
with a warning. Answers of a provider that imitates OpenAI (not those of OpenAI and Azure) get OpenAI's
word for their `service_tier`, or none where OpenAI has no such class; one without any choices is an error
of status 502.

`model_rules` of a provider in the settings adds rules for servers and models that the table does not
know:

```toml
[providers.lab]
dialect = \"openai-chat\"
base_url = \"http://127.0.0.1:8000/v1\"

[[providers.lab.model_rules]]
models = [\"tiny-*\"]
refuses = [\"temperature\", \"top_p\"]
efforts = [\"low\", \"high\"]
```

An ARN on Bedrock that does not tell what its model is gets the rules that its model would have:

```toml
[[providers.bedrock.model_rules]]
models = [\"*application-inference-profile/abc123\"]
model_fields = \"anthropic\"
thinking_form = \"budget\"
cache_points = \"all\"
```
";

fn page() -> String {
    let mut out = INTRODUCTION.to_owned();
    out.push_str("\n## Who speaks what\n\n");
    let rows = VENDORS.iter().map(|(dialect, whose, model)| {
        let mut paths = CLIENTS.iter().chain(&NATIVE_CLIENTS);
        let path = paths.find(|(known, _)| known == dialect);
        let path = path.map_or("–".to_owned(), |(_, path)| (*path).to_owned());
        vec![dialect_name(*dialect), (*whose).to_owned(), path, format!("`{model}`")]
    });
    let header = ["dialect", "API", "clients call", "model on this page"];
    table::write(&mut out, &header, rows);
    out.push_str(
        "\nSome members depend on the model: how it is asked to think, whether it takes a temperature, \
         what a tool may be.\nThe provider's model id decides. Where the id of a model on Bedrock does \
         not tell what it is (the ARN of an\napplication's profile, say), what only some models know is \
         left out with a warning.\n",
    );
    out.push_str(MODELS);
    cases::write(&mut out);
    requests::write(&mut out);
    answers::write(&mut out);
    out
}

/// The six dialects with their code and the model that the page asks for.
fn vendors() -> impl Iterator<Item = (Dialect, &'static dyn Codec, &'static str)> {
    DIALECTS.into_iter().map(|(dialect, codec)| {
        let row = VENDORS.iter().find(|(known, ..)| *known == dialect);
        (dialect, codec, row.expect("every dialect has a row").2)
    })
}

/// The dialects of clients with their code.
fn clients() -> impl Iterator<Item = (Dialect, &'static dyn Codec)> {
    CLIENTS.into_iter().map(|(dialect, _)| (dialect, codec(dialect).expect("a dialect with code")))
}

fn dialect_name(dialect: Dialect) -> String {
    format!("`{}`", dialect.name())
}

#[test]
fn translation_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/translation.md");
    let made = page();
    if std::env::var_os("RINGGATE_BLESS").is_some() {
        std::fs::write(&path, &made).expect("docs/ can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let first = made.lines().zip(committed.lines()).find(|(made, committed)| made != committed);
    assert!(
        committed == made,
        "docs/translation.md is out of date; run RINGGATE_BLESS=1 cargo test mapping\n{first:?}"
    );
}
