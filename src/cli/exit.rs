//! Exit codes: the one place that says what each means.
//!
//! Scripts and service managers lean on these, so a code is never reused for
//! something else.

use std::process::ExitCode;

use super::{client::ClientError, config_file::NoConfigFile};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done, or the answer is yes.
    Ok,
    /// The answer is no: the file has errors, the proxy is not ready, the
    /// request would be refused, the wait ran out.
    No,
    /// The command line makes no sense.
    Usage,
    /// The admin API cannot be reached.
    Unreachable,
    /// `run` refused the config file (`EX_CONFIG` of sysexits): starting again
    /// will not help until somebody edits it.
    Config,
    /// A second signal, SIGINT, cut short what was in flight.
    Interrupted,
    /// A second signal, SIGTERM or SIGQUIT, cut short what was in flight.
    Terminated,
    /// The exit code of the command of `exec`, or what a shell makes of a
    /// signal (128 and its number), of a command that is not there (127) and
    /// of one that cannot be run (126).
    Command(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Exit {
    /// The exit code of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Config => 78,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Command(code) => code,
        }
    }

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
                | ClientError::Untrusted { .. }
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
        assert_eq!(Exit::of(&unreachable.into()).code(), 3);
        let problem = ClientError::Refused(Problem::default());
        assert_eq!(Exit::of(&problem.into()).code(), 1);
        assert_eq!(Exit::of(&UsageError("no".into()).into()).code(), 2);
        assert_eq!(Exit::of(&ConfigRefused.into()).code(), 78);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")).code(), 1);
    }

    #[test]
    fn context_does_not_hide_the_cause() {
        let error = anyhow::Error::from(ConfigRefused).context("while starting");
        assert_eq!(Exit::of(&error), Exit::Config);
    }
}
