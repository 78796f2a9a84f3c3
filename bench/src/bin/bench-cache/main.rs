//! What the semantic tier would serve, rightly and wrongly, on files of questions.
//!
//! The format of a file follows from its first line (JSON lines, gzip by the name's end):
//! pairs `{a, b, same_answer, category}` or `{text_a, text_b, label}`; conversations, where `a` and
//! `b` are lists of messages and `subtype` is the class; intents `{text, label}`, where two texts of
//! one label count as having the same answer. Everything is embedded here, by the embedder that
//! would serve.

mod embedding_cache;
mod line_set;
mod pairs;
mod rows;
mod stream;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use embedding_cache::EmbeddingCache;
use line_set::LineSet;
use rows::Rows;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tables of what the semantic cache would serve, rightly and wrongly, on files of questions.
#[derive(Parser)]
struct Arguments {
    /// Which lines of files of pairs: `fit` are those the verifier was fitted on (every second from
    /// the first), if the file is the one it was fitted on, and `held` are the others.
    #[arg(long, value_enum, default_value_t = LineSet::All)]
    half: LineSet,
    /// Lists the pairs that are served wrongly at the default settings.
    #[arg(long)]
    wrong: bool,
    /// Prints one line of numbers a pair, as bench/fit-verifier reads them, and nothing else.
    #[arg(long)]
    features: bool,
    /// Requests of the simulated stream of a file of intents, at most.
    #[arg(long, default_value_t = 4_000)]
    requests: usize,
    /// Share of requests of the stream that may be answered wrongly, kept as
    /// `semantic_cache.max_error_rate` is.
    #[arg(long)]
    wrong_max: Option<f32>,
    /// Embeds with this kind, `fused` or `candle`, not with the one that would serve.
    #[arg(long)]
    embedder: Option<String>,
    /// Folder of the model's files.
    #[arg(long)]
    model: Option<PathBuf>,
    /// JSON lines, `.gz` or plain.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut embeddings =
        EmbeddingCache::open(arguments.model.as_deref(), arguments.embedder.as_deref())?;
    for file in &arguments.files {
        match Rows::read(file)? {
            Rows::Pairs(rows) => {
                let rows = arguments.half.of(rows);
                let scored = pairs::score(&rows, &mut embeddings)?;
                if arguments.features {
                    pairs::print_features(&scored);
                } else {
                    println!("\n## {}, {}\n", rows::name(file), arguments.half.described());
                    pairs::print_tables(&scored, arguments.wrong);
                }
            }
            Rows::Intents(rows) => {
                println!("\n## {}, as a stream of requests\n", rows::name(file));
                let stream = stream::Stream::of(rows, arguments.requests, &mut embeddings)?;
                stream.print_table(arguments.wrong_max);
            }
        }
    }
    Ok(())
}
