//! What the command line says of the settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{LoadError, Overrides, Settings};

/// The settings file that is read if none is named and it exists.
const DEFAULT_FILE: &str = "ringgate.toml";

/// Where the settings come from.
#[derive(Clone, Debug, Default, Args)]
pub struct FileOptions {
    /// Settings file [default: ./ringgate.toml if it exists, else built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `serve` takes; the flags win over the file.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeOptions {
    #[command(flatten)]
    file: FileOptions,
    /// Address of the data plane, such as 127.0.0.1:8080; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of health, metrics and the admin API
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Threads that serve, each pinned to a core; 0: one for each core
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
}

impl FileOptions {
    /// The settings, with flags above the file.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn load(&self, flags: &Overrides) -> Result<Settings, LoadError> {
        let default = PathBuf::from(DEFAULT_FILE);
        let file = self.config.clone().or_else(|| default.exists().then_some(default));
        Settings::from_environment_with(file.as_deref(), flags)
    }
}

impl ServeOptions {
    /// The settings, with these flags above the file.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn load(&self) -> Result<Settings, LoadError> {
        let flags =
            Overrides { listen: self.listen, admin_listen: self.admin, shards: self.shards };
        self.file.load(&flags)
    }
}
