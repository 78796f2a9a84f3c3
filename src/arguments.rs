//! The command line.

use clap::{Parser, Subcommand};

use crate::app::{FileOptions, ServeOptions};
use crate::commands::{FetchOptions, ProvidersOptions, ReportOptions};

/// An AI gateway: one binary between applications and LLM providers.
#[derive(Debug, Parser)]
#[command(name = "ringgate", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Serve (this is also what happens without a command)
    Serve(ServeOptions),
    /// Read and check all settings, print every problem, exit 0 or 1
    Check(FileOptions),
    /// Work with virtual keys
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Work with the cache
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// List the presets of vendors, or the models and prices of one
    Providers(ProvidersOptions),
    /// Work with local models
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Read a secret from standard input, print the hash for the settings file
    Hash,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Print what the semantic cache would have served, by what shadow mode has written down
    Report(ReportOptions),
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Bring the model of the semantic cache (91 MB), check it, exit 0 or 1
    Fetch(FetchOptions),
}

/// What the user asked for.
#[derive(Debug)]
pub enum Command {
    /// `ringgate serve`.
    Serve(ServeOptions),
    /// `ringgate check`.
    Check(FileOptions),
    /// `ringgate keys hash`.
    HashKey,
    /// `ringgate models fetch`.
    FetchModel(FetchOptions),
    /// `ringgate cache report`.
    CacheReport(ReportOptions),
    /// `ringgate providers`.
    Providers(ProvidersOptions),
}

impl Arguments {
    /// The command, `serve` if none is named.
    #[must_use]
    pub fn into_command(self) -> Command {
        match self.command {
            None => Command::Serve(self.serve),
            Some(Subcommands::Serve(options)) => Command::Serve(options),
            Some(Subcommands::Check(options)) => Command::Check(options),
            Some(Subcommands::Providers(options)) => Command::Providers(options),
            Some(Subcommands::Keys { command: KeysCommand::Hash }) => Command::HashKey,
            Some(Subcommands::Cache { command: CacheCommand::Report(options) }) => {
                Command::CacheReport(options)
            }
            Some(Subcommands::Models { command: ModelsCommand::Fetch(options) }) => {
                Command::FetchModel(options)
            }
        }
    }
}
