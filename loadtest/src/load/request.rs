//! Requests as bytes, built before the run.

use std::fmt::Write as _;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::mix::order;
use super::options::{LoadOptions, RequestKind};
use super::target::Target;

/// Filler of prompts: plain words, so that tokenizers and caches see text.
const FILLER: &str =
    "The quick brown fox jumps over the lazy dog while rain falls on the quiet harbour town. ";

/// All requests of a run, to be sent in turn.
pub fn build_all(options: &LoadOptions, target: &Target) -> anyhow::Result<Vec<Box<[u8]>>> {
    let bodies = match &options.prompts {
        None => vec![body_of_size(options, options.prompt_bytes)?],
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let prompts = order(&text, options.repeats, options.paraphrases);
            prompts.into_iter().map(|prompt| body(options, prompt)).collect()
        }
    };
    ensure!(!bodies.is_empty(), "--prompts: expected at least one line");
    let head = head(options, target)?;
    Ok(bodies.iter().map(|body| request(&head, body)).collect())
}

fn body(options: &LoadOptions, prompt: &str) -> String {
    let (model, prompt) = (json!(options.model), json!(prompt));
    match options.kind {
        RequestKind::Chat => {
            format!(r#"{{"model":{model},"messages":[{{"role":"user","content":{prompt}}}]}}"#)
        }
        RequestKind::Stream => format!(
            r#"{{"model":{model},"stream":true,"stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":{prompt}}}]}}"#
        ),
        RequestKind::Embeddings => format!(r#"{{"model":{model},"input":{prompt}}}"#),
    }
}

fn body_of_size(options: &LoadOptions, bytes: usize) -> anyhow::Result<String> {
    let least = body(options, "").len();
    let Some(room) = bytes.checked_sub(least) else {
        bail!("--prompt-bytes: expected at least {least} for this kind and model, got {bytes}");
    };
    let mut prompt = FILLER.repeat(room / FILLER.len() + 1);
    prompt.truncate(room);
    Ok(body(options, &prompt))
}

/// Everything before the length, which differs from prompt to prompt.
fn head(options: &LoadOptions, target: &Target) -> anyhow::Result<String> {
    let endpoint = match options.kind {
        RequestKind::Chat | RequestKind::Stream => "/chat/completions",
        RequestKind::Embeddings => "/embeddings",
    };
    let mut head = format!(
        "POST {}{endpoint} HTTP/1.1\r\nhost: {}\r\nuser-agent: ringgate-loadtest\r\naccept: */*\r\ncontent-type: application/json\r\n",
        target.path, target.authority
    );
    if let Some(variable) = &options.key_env {
        let key = std::env::var(variable)
            .with_context(|| format!("--key-env: expected a key in the variable {variable}"))?;
        ensure!(
            !key.contains(['\r', '\n']),
            "--key-env: expected one line in the variable {variable}"
        );
        write!(head, "authorization: Bearer {key}\r\n")?;
    }
    for header in &options.header {
        let Some((name, value)) = header.split_once(':') else {
            bail!("--header: expected `name: value`, got `{header}`");
        };
        let fits = !name.trim().is_empty() && !header.contains(['\r', '\n']);
        ensure!(fits, "--header: expected `name: value` on one line, got `{header}`");
        write!(head, "{}: {}\r\n", name.trim(), value.trim())?;
    }
    Ok(head)
}

fn request(head: &str, body: &str) -> Box<[u8]> {
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes().into()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::tls::Trust;

    fn build(flags: &[&str]) -> anyhow::Result<Vec<String>> {
        let command = LoadOptions::augment_args(clap::Command::new("run"));
        let matches = command.get_matches_from([&["run"], flags].concat());
        let options = LoadOptions::from_arg_matches(&matches)?;
        let target = Target::resolve("http://127.0.0.1:9/v1", &Trust::System)?;
        let requests = build_all(&options, &target)?;
        Ok(requests.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect())
    }

    #[test]
    fn bodies_have_the_requested_size() {
        for kind in ["chat", "stream", "embeddings"] {
            for size in ["200", "600", "20k"] {
                let request = &build(&["--kind", kind, "--prompt-bytes", size]).unwrap()[0];
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                assert_eq!(
                    body.len(),
                    crate::quantity::parse_bytes(size).unwrap(),
                    "{kind} {size}"
                );
                assert!(head.ends_with(&format!("content-length: {}", body.len())));
                assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
            }
        }
        assert!(build(&["--prompt-bytes", "10"]).unwrap_err().to_string().contains("at least"));
    }

    #[test]
    fn headers_are_checked() {
        let request = &build(&["--header", "x-a: b", "--header", "x-c:d"]).unwrap()[0];
        assert!(request.contains("\r\nx-a: b\r\nx-c: d\r\n"));
        assert!(build(&["--header", "nonsense"]).is_err());
        assert!(build(&["--header", "a: b\r\nc: d"]).is_err());
        assert!(build(&["--key-env", "LOADTEST_VARIABLE_THAT_IS_NOT_SET"]).is_err());
    }
}
