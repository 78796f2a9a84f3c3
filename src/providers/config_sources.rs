//! Where the secrets of a provider's settings come from.

/// The files and environment variables that a provider's settings may refer to.
#[derive(Clone, Copy)]
pub struct ConfigSources<'a> {
    /// Reads a file named in the settings; the error is a message.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
    /// Reads an environment variable. Used only for the variables that AWS sets, and only if
    /// `aws_auth_type` selects the machine's role.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}
