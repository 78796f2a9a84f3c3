//! Cryptographically secure randomness, for secrets of the process.

/// 32 random bytes from the operating system.
///
/// # Errors
/// The system's, for example if the entropy pool is not ready early at boot.
pub fn random_secret() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
