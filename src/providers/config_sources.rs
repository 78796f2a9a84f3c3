//! Where the secrets of a provider's settings come from.

/// The files and environment variables that a provider's settings may refer to.
#[derive(Clone, Copy)]
pub struct ConfigSources<'a> {
    /// Reads a file named in the settings, or says in words why it cannot.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
    /// A variable of the environment. Asked only for what AWS sets in the machines it runs, and
    /// only where `aws_auth_type` says that the machine's role is used.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}
