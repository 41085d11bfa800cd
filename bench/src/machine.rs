//! What the figures were measured on, so that they can be compared.

use std::{fs, path::PathBuf, process::Command};

use crate::target::Kind;

/// The date, the processor and how much of it there is.
pub(crate) fn kind() -> String {
    let date = said("date", &["--utc", "+%Y-%m-%d"]);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = info
        .lines()
        .filter(|line| line.starts_with("model name"))
        .filter_map(|line| line.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let model = models.first().copied().unwrap_or("an unknown processor");
    format!(
        "{date}, {} cores of {model}, Linux {}",
        models.len(),
        said("uname", &["--kernel-release"])
    )
}

/// What each of `kinds` and `programs` says of its version.
pub(crate) fn versions(kinds: &[Kind], programs: &[PathBuf]) -> String {
    let mut versions = Vec::new();
    for kind in kinds {
        let version = match kind {
            Kind::Nginx => said("nginx", &["-v"]),
            Kind::Haproxy => said("haproxy", &["-v"]),
            Kind::Envoy => said("envoy", &["--version"]),
            Kind::Traefik => said("traefik", &["version"]),
            Kind::Caddy => said("caddy", &["version"]),
            Kind::Relay | Kind::Portolan | Kind::Counted => continue,
        };
        let version = format!("{} {}", kind.name(), number(&version));
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let programs = programs.iter().map(|program| said(&program.to_string_lossy(), &["--version"]));
    versions.extend(programs);
    versions.join(", ")
}

/// The first word of `text` that has the form of a version.
fn number(text: &str) -> &str {
    let separators = |letter: char| letter.is_whitespace() || letter == '/';
    let is_version = |word: &&str| {
        let digits = word.trim_start_matches('v');
        digits.starts_with(|letter: char| letter.is_ascii_digit()) && digits.contains('.')
    };
    text.split(separators).find(is_version).unwrap_or("of unknown version")
}

/// What a program prints, in either way.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("HAProxy version 2.6.12-1 2023/12/16 - https://haproxy.org/", "2.6.12-1"),
            ("Version:      3.1.4\nCodename: comte", "3.1.4"),
            ("v2.8.4 h1:q3pe=", "v2.8.4"),
            ("", "of unknown version"),
        ] {
            assert_eq!(number(said), version);
        }
    }
}
