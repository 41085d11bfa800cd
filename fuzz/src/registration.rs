//! The body of a registration: what is read and written down is read as the
//! same again.

use portolan::admin::RegistrationBody;

/// Reads `data` as a registration.
pub fn check(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<RegistrationBody>(data) else { return };
    let written = serde_json::to_string(&body).expect("JSON");
    let again: RegistrationBody =
        serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again, body, "{written}");
}
