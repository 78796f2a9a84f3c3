//! Asks a gateway with async-openai, which refuses an answer that OpenAI's description does not have.
//!
//! `rust-client KIND BASE_URL BODY`: asks with the body of a request, JSON, and prints what was answered as one
//! line of JSON: its `text`, the names and arguments of its `calls`, and its `tokens`. The exit status is 1
//! where an answer or an event cannot be read.

use std::error::Error;
use std::process::ExitCode;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionMessageToolCalls, CreateChatCompletionRequest, CreateChatCompletionResponse,
};
use async_openai::types::embeddings::CreateEmbeddingRequest;
use async_openai::types::responses::{CreateResponse, OutputItem, Response, ResponseStreamEvent};
use futures::StreamExt as _;
use serde_json::{Value, json};

type Outcome = Result<Value, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, base_url, body] = arguments.as_slice() else {
        eprintln!("rust-client: expected KIND BASE_URL BODY");
        return ExitCode::from(2);
    };
    let settings = OpenAIConfig::new().with_api_base(base_url).with_api_key("no-key-is-asked-for");
    let client = Client::with_config(settings);
    let outcome = match kind.as_str() {
        "chat" => chat(&client, body).await,
        "chat-stream" => chat_stream(&client, body).await,
        "responses" => responses(&client, body).await,
        "responses-stream" => responses_stream(&client, body).await,
        "embeddings" => embeddings(&client, body).await,
        other => Err(format!("no such kind: {other}").into()),
    };
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("rust-client: {kind}: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn chat(client: &Client<OpenAIConfig>, body: &str) -> Outcome {
    let request: CreateChatCompletionRequest = serde_json::from_str(body)?;
    let answer: CreateChatCompletionResponse = client.chat().create(request).await?;
    let choice = answer.choices.first().ok_or("no choice")?;
    let calls = choice.message.tool_calls.iter().flatten().map(|call| match call {
        ChatCompletionMessageToolCalls::Function(call) => {
            json!([call.function.name, call.function.arguments])
        }
        ChatCompletionMessageToolCalls::Custom(call) => json!([call.custom_tool.name, ""]),
    });
    let calls: Vec<Value> = calls.collect();
    let tokens = answer.usage.ok_or("no usage")?.total_tokens;
    Ok(json!({ "text": choice.message.content, "calls": calls, "tokens": tokens }))
}

async fn chat_stream(client: &Client<OpenAIConfig>, body: &str) -> Outcome {
    let request: CreateChatCompletionRequest = serde_json::from_str(body)?;
    let mut stream = client.chat().create_stream(request).await?;
    let (mut text, mut calls, mut tokens) = (String::new(), Vec::<(String, String)>::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        tokens = chunk.usage.map_or(tokens, |usage| usage.total_tokens);
        let Some(choice) = chunk.choices.into_iter().next() else { continue };
        text.push_str(&choice.delta.content.unwrap_or_default());
        for piece in choice.delta.tool_calls.into_iter().flatten() {
            let place = usize::try_from(piece.index)?;
            calls.resize(calls.len().max(place + 1), (String::new(), String::new()));
            if let (Some(call), Some(function)) = (calls.get_mut(place), piece.function) {
                call.0.push_str(&function.name.unwrap_or_default());
                call.1.push_str(&function.arguments.unwrap_or_default());
            }
        }
    }
    let text = Some(text).filter(|text| !text.is_empty());
    Ok(json!({ "text": text, "calls": calls, "tokens": tokens }))
}

async fn responses(client: &Client<OpenAIConfig>, body: &str) -> Outcome {
    let request: CreateResponse = serde_json::from_str(body)?;
    response(&client.responses().create(request).await?)
}

async fn responses_stream(client: &Client<OpenAIConfig>, body: &str) -> Outcome {
    let request: CreateResponse = serde_json::from_str(body)?;
    let mut stream = client.responses().create_stream(request).await?;
    let mut last = None;
    while let Some(event) = stream.next().await {
        if let ResponseStreamEvent::ResponseCompleted(event) = event? {
            last = Some(event.response);
        }
    }
    response(&last.ok_or("no response.completed")?)
}

fn response(response: &Response) -> Outcome {
    let calls = response.output.iter().filter_map(|item| match item {
        OutputItem::FunctionCall(call) => Some(json!([call.name, call.arguments])),
        _ => None,
    });
    let calls: Vec<Value> = calls.collect();
    let tokens = response.usage.as_ref().ok_or("no usage")?.total_tokens;
    Ok(json!({ "text": response.output_text(), "calls": calls, "tokens": tokens }))
}

async fn embeddings(client: &Client<OpenAIConfig>, body: &str) -> Outcome {
    let request: CreateEmbeddingRequest = serde_json::from_str(body)?;
    let answer = client.embeddings().create(request).await?;
    let sizes: Vec<usize> = answer.data.iter().map(|one| one.embedding.len()).collect();
    Ok(json!({ "sizes": sizes, "tokens": answer.usage.total_tokens }))
}
