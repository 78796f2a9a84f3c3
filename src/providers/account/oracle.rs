//! Oracle's Generative AI.

use super::context::{Account, AccountContext, Listed, Rule};
use crate::base::Secret;
use crate::providers::credential::{Credential, OracleSigner, RsaKey};

/// Settings of the preset `oracle`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct OracleSettings {
    /// Oracle: the region, as `us-chicago-1`.
    oracle_region: Option<String>,
    /// Oracle: OCID of the compartment that is charged.
    oracle_compartment_id: Option<String>,
    /// Oracle: OCID of the tenancy. Tenancy, user, fingerprint and key sign the requests; without
    /// them `api_key`, a Generative AI API key, is sent.
    oracle_tenancy: Option<String>,
    /// Oracle: OCID of the user.
    oracle_user: Option<String>,
    /// Oracle: fingerprint of the user's API signing key.
    oracle_fingerprint: Option<String>,
    /// Oracle: the signing key in PEM, as `${file:oci_api_key.pem}`.
    oracle_private_key: Option<Secret>,
    /// Oracle: rejected; encrypted keys are not supported.
    oracle_key_passphrase: Option<Secret>,
}

impl OracleSettings {
    pub(super) fn listed(&self) -> Vec<Listed> {
        const PRESETS: &[&str] = &["oracle"];
        let listed = [
            ("oracle_region", self.oracle_region.is_some()),
            ("oracle_compartment_id", self.oracle_compartment_id.is_some()),
            ("oracle_key_passphrase", self.oracle_key_passphrase.is_some()),
        ];
        let all = listed.into_iter().chain(self.of_signer());
        all.map(|(name, given)| (name, given, PRESETS)).collect()
    }

    fn of_signer(&self) -> [(&'static str, bool); 4] {
        [
            ("oracle_tenancy", self.oracle_tenancy.is_some()),
            ("oracle_user", self.oracle_user.is_some()),
            ("oracle_fingerprint", self.oracle_fingerprint.is_some()),
            ("oracle_private_key", self.oracle_private_key.is_some()),
        ]
    }

    pub(super) fn check(&self, context: &mut AccountContext<'_>) -> Account {
        let region = context.text("oracle_region", self.oracle_region.as_ref(), Rule::Label);
        if self.oracle_region.is_none() && context.base_url.is_none() {
            let hint = "as in oracle_region = \"us-chicago-1\"";
            context.report("oracle_region", "expected a region, got none", hint);
        }
        let compartment = self.oracle_compartment_id.as_ref();
        let compartment = context.text("oracle_compartment_id", compartment, Rule::Segment);
        let passphrase = [("oracle_key_passphrase", self.oracle_key_passphrase.is_some())];
        let message = "encrypted keys are not read";
        context.refuse(
            &passphrase,
            message,
            "decrypt the key, as by `openssl pkey -in KEY -out NEW`",
        );
        // Chat requires the first, responses the second.
        let fields = compartment.into_iter().flat_map(|id| {
            ["compartmentid", "opc-compartment-id"].map(|name| (name, Secret::new(id.clone())))
        });
        Account {
            base_url: region.map(|region| {
                format!("https://inference.generativeai.{region}.oci.oraclecloud.com/openai/v1")
            }),
            fields: fields.collect(),
            credential: self.credential(context).unwrap_or_default(),
            ..Account::default()
        }
    }

    fn credential(&self, context: &mut AccountContext<'_>) -> Option<Credential> {
        if self.of_signer().iter().all(|(_, given)| !given) {
            return None;
        }
        context.refuse_api_key("the requests are signed instead");
        let hint = "as in the file ~/.oci/config";
        let tenancy = self.oracle_tenancy.as_ref();
        let tenancy = context.needed("oracle_tenancy", tenancy, Rule::Segment, hint);
        let user = self.oracle_user.as_ref();
        let user = context.needed("oracle_user", user, Rule::Segment, hint);
        let fingerprint = self.oracle_fingerprint.as_ref();
        let fingerprint = context.needed("oracle_fingerprint", fingerprint, Rule::Segment, hint);
        let key = self.key(context);
        Some(Credential::Oracle(OracleSigner {
            tenancy: tenancy?,
            user: user?,
            fingerprint: fingerprint?,
            key: key?,
        }))
    }

    fn key(&self, context: &mut AccountContext<'_>) -> Option<RsaKey> {
        const NAME: &str = "oracle_private_key";
        let key = self.oracle_private_key.as_ref().and_then(|pem| RsaKey::parse(pem.reveal()));
        if key.is_none() {
            let message = "expected an RSA key in PEM, not encrypted";
            context.report(NAME, message, "write oracle_private_key = \"${file:PATH}\"");
        }
        key
    }
}
