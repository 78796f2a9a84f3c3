//! RSA keys from PEM files, and signatures: PKCS #1 v1.5 with SHA-256.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::CredentialError;
use crate::base::Secret;

/// A private signing key. A signature with 2048 bits takes about half a millisecond.
#[derive(Clone)]
pub(in crate::providers) struct RsaKey {
    pem: Secret,
    pair: Arc<KeyPair>,
}

impl RsaKey {
    /// Parses `BEGIN PRIVATE KEY` and `BEGIN RSA PRIVATE KEY`; `None` for any other text, including
    /// encrypted keys.
    pub(in crate::providers) fn parse(pem: &str) -> Option<Self> {
        let pair = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?,
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).ok()?,
            _ => return None,
        };
        Some(Self { pem: Secret::new(pem.to_owned()), pair: Arc::new(pair) })
    }

    /// The signature of `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| CredentialError::Unsignable)?;
        Ok(signature)
    }
}

impl PartialEq for RsaKey {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Eq for RsaKey {}

impl fmt::Debug for RsaKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RsaKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_transport;
    use super::*;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    #[test]
    fn signature_verifies() {
        let key = RsaKey::parse(test_transport::rsa_pem()).expect("a key");
        let signature = key.sign(b"message").expect("a signature");
        let public = key.pair.public_key();
        let verify = |message: &[u8]| {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())
                .verify(message, &signature)
        };
        assert!(verify(b"message").is_ok());
        assert!(verify(b"another").is_err());
        assert_eq!(format!("{key:?}"), "RsaKey(…)");
        for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(RsaKey::parse(pem).is_none(), "{pem}");
        }
    }
}
