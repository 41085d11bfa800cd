//! One order, from the name to the certificate (RFC 8555 section 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{AcmeSettings, Challenge, problem::Problem, record::Shown, showing::Stage};
use crate::tls::Proof;

/// How long the CA may take for one step.
const PATIENCE: Duration = Duration::from_secs(120);

impl Challenge {
    const fn kind(self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Http01 => ChallengeType::Http01,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// Orders a certificate for `name`, in the place of `replaced` if the CA wants
/// to know (RFC 9773 section 5). Answers with key and chain (PEM).
pub(super) async fn order(
    account: &Account,
    settings: &AcmeSettings,
    name: &str,
    challenge: Challenge,
    replaced: Option<CertificateIdentifier<'_>>,
    stage: &Stage<'_>,
) -> Result<String, Problem> {
    let names = [Identifier::Dns(name.to_owned())];
    let mut new = NewOrder::new(&names);
    if let Some(profile) = &settings.profile {
        new = new.profile(profile);
    }
    if let Some(replaced) = replaced {
        new = new.replaces(replaced);
    }
    let mut order = account.new_order(&new).await?;
    let policy = RetryPolicy::new().backoff(1.3).timeout(PATIENCE);
    // Answered until the CA has looked.
    let _proofs = prove(&mut order, name, challenge, stage).await?;
    if order.poll_ready(&policy).await? != OrderStatus::Ready {
        return Err(refusal(&mut order, challenge).await);
    }
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&policy).await?;
    Ok(format!("{}\n{chain}", key.serialize_pem().trim_end()))
}

/// Puts up what the CA wants to see, and tells it to look.
async fn prove(
    order: &mut Order,
    name: &str,
    challenge: Challenge,
    stage: &Stage<'_>,
) -> Result<Vec<Proof>, Problem> {
    let mut up = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut handle = authorization
            .challenge(challenge.kind())
            .ok_or(Problem::NoChallenge(challenge.as_str()))?;
        let authorized = handle.key_authorization();
        let shown = match challenge {
            Challenge::Http01 => Shown::by_request(&handle.token, authorized.as_str()),
            Challenge::TlsAlpn01 => Shown::by_handshake(authorized.digest().as_ref()),
        };
        up.push(stage.put_up(name, &shown).await?);
        handle.set_ready().await?;
    }
    Ok(up)
}

/// What the CA says of an order that came to nothing.
async fn refusal(order: &mut Order, challenge: Challenge) -> Problem {
    let mut detail = None;
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let said = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        detail = said.filter_map(|problem| problem.detail.clone()).next().or(detail);
    }
    let detail = detail.unwrap_or_else(|| "the CA does not say why".to_owned());
    Problem::Unproved { challenge: challenge.as_str(), detail }
}
