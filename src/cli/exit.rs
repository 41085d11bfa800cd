//! Exit codes: the one place that says what each means.
//!
//! Scripts and service managers lean on these, so a code is never reused for
//! something else.

use std::process::ExitCode;

use super::{client::ClientError, config_file::NoConfigFile};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done, or the answer is yes.
    Ok = 0,
    /// The answer is no: the file has errors, the proxy is not ready, the
    /// request would be refused, the wait ran out.
    No = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The admin API cannot be reached.
    Unreachable = 3,
    /// `run` refused the config file (`EX_CONFIG` of sysexits): starting again
    /// will not help until somebody edits it.
    Config = 78,
    /// A second signal, SIGINT, cut short what was in flight.
    Interrupted = 130,
    /// A second signal, SIGTERM or SIGQUIT, cut short what was in flight.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Yes or no.
    pub(super) const fn yes(answer: bool) -> Self {
        if answer { Self::Ok } else { Self::No }
    }

    /// The exit that goes with an error.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        if let Some(error) = error.downcast_ref::<ClientError>() {
            return match error {
                ClientError::Unreachable { .. }
                | ClientError::Timeout { .. }
                | ClientError::NotPortolan { .. } => Self::Unreachable,
                ClientError::Refused(_) => Self::No,
            };
        }
        if error.is::<UsageError>() {
            return Self::Usage;
        }
        if error.is::<ConfigRefused>() {
            return Self::Config;
        }
        Self::No
    }

    /// What a person can do about an error, a line each.
    pub(super) fn advice(error: &anyhow::Error) -> Vec<String> {
        if let Some(error) = error.downcast_ref::<ClientError>() {
            return error.advice();
        }
        if let Some(error) = error.downcast_ref::<NoConfigFile>() {
            return error.advice();
        }
        Vec::new()
    }
}

/// A command line that parses and still makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// `run` refused the config file, or found none.
#[derive(Debug, thiserror::Error)]
#[error("nothing was started")]
pub(super) struct ConfigRefused;

#[cfg(test)]
mod tests {
    use super::{super::client::Problem, *};

    #[test]
    fn errors_map_to_codes() {
        let url = "http://127.0.0.1:1".to_owned();
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let unreachable = ClientError::Unreachable { url, source: refused.into() };
        assert_eq!(Exit::of(&unreachable.into()) as u8, 3);
        let problem = ClientError::Refused(Problem::default());
        assert_eq!(Exit::of(&problem.into()) as u8, 1);
        assert_eq!(Exit::of(&UsageError("no".into()).into()) as u8, 2);
        assert_eq!(Exit::of(&ConfigRefused.into()) as u8, 78);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")) as u8, 1);
    }

    #[test]
    fn context_does_not_hide_the_cause() {
        let error = anyhow::Error::from(ConfigRefused).context("while starting");
        assert_eq!(Exit::of(&error), Exit::Config);
    }
}
