//! What a question leaves out of its answer (`?filter=`): of Consul's
//! expressions those that compare texts, `Service.ID == "a" and Status !=
//! "critical"`. Pure.
//!
//! Source of the rules: `api-docs/features/filtering` of hashicorp/consul. What
//! is not understood is refused: an answer with too much in it would be taken
//! for one that was filtered.

use serde_json::Value;

use crate::front::refusal::Refusal;

/// Comparisons that all have to hold; none for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<Comparison>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    /// The names on the way to a field.
    path: Vec<String>,
    is: bool,
    text: String,
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// When it has anything but comparisons of texts.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let mut rest = text.trim();
        let mut all = Vec::new();
        while !rest.is_empty() {
            let (comparison, after) = comparison(rest).ok_or_else(|| not_understood(rest))?;
            all.push(comparison);
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            let more = rest.strip_prefix("and").filter(|more| more.starts_with([' ', '\t']));
            rest = more.ok_or_else(|| not_understood(rest))?.trim_start();
            if rest.is_empty() {
                return Err(not_understood(text));
            }
        }
        Ok(Self(all))
    }

    /// What is left of a list.
    pub(super) fn of(&self, value: Value) -> Value {
        match value {
            Value::Array(all) => {
                all.into_iter().filter(|one| self.0.iter().all(|it| it.holds(one))).collect()
            }
            value => value,
        }
    }
}

impl Comparison {
    fn holds(&self, entry: &Value) -> bool {
        let field = self.path.iter().try_fold(entry, |value, name| value.get(name));
        let is = match field {
            Some(Value::String(text)) => *text == self.text,
            Some(Value::Number(number)) => number.to_string() == self.text,
            Some(Value::Bool(truth)) => truth.to_string() == self.text,
            _ => false,
        };
        is == self.is
    }
}

/// The comparison at the beginning of `text`, and what follows it.
fn comparison(text: &str) -> Option<(Comparison, &str)> {
    let end = text.find(|char: char| !char.is_ascii_alphanumeric() && !"._-".contains(char))?;
    let (path, rest) = text.split_at(end);
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    // One of several checks may be meant, or all of them.
    if path.iter().any(String::is_empty) || path[0] == "Checks" {
        return None;
    }
    let rest = rest.trim_start();
    let (is, rest) = match (rest.strip_prefix("=="), rest.strip_prefix("!=")) {
        (Some(rest), _) => (true, rest),
        (None, rest) => (false, rest?),
    };
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '`'))?;
    let (text, rest) = rest[1..].split_once(quote)?;
    // How a text is escaped that has a quote in it is not understood either.
    (!text.contains('\\')).then(|| (Comparison { path, is, text: text.to_owned() }, rest))
}

fn not_understood(text: &str) -> Refusal {
    let text: String = text.chars().take(100).collect();
    Refusal::bad(format!(
        "filter: {text:?} is not understood here; compare texts by == and !=, joined by and, or \
         use tag and passing"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_compared() {
        let all = json!([
            {"Service": {"ID": "a", "Port": 80, "Meta": {"version": "3"}}, "Status": "passing"},
            {"Service": {"ID": "b", "Port": 81, "Meta": {}}, "Status": "critical"},
        ]);
        let left = |filter: &str| {
            let left = Filter::read(filter).expect(filter).of(all.clone());
            let ids = left.as_array().expect("a list").iter().map(|one| &one["Service"]["ID"]);
            ids.cloned().collect::<Vec<_>>()
        };
        assert_eq!(left(""), ["a", "b"]);
        assert_eq!(left(r#"Service.ID == """#), [""; 0]);
        assert_eq!(left(r#"Service.ID=="a""#), ["a"]);
        assert_eq!(left(r#"Service.Meta.version != "3""#), ["b"]);
        assert_eq!(left("Status == `passing` and Service.Port == \"80\""), ["a"]);
        assert_eq!(left(r#"Status != "passing" and Service.ID != "b""#), [""; 0]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for odd in [
            "x",
            "Service.ID",
            "Service.ID ==",
            "Service.ID == a",
            r#"Service.ID == "a"#,
            r#"Service.ID == "a" and"#,
            r#"Service.ID == "a" and "#,
            r#"Service.ID == "a" or Service.ID == "b""#,
            r#"not Service.ID == "a""#,
            r#""blue" in Service.Tags"#,
            r#"Checks.Status == "passing""#,
            r#"Service..ID == "a""#,
            r#"Service.ID == "a\"""#,
        ] {
            assert!(Filter::read(odd).is_err(), "{odd}");
        }
        assert_eq!(Filter::read("").expect("nothing"), Filter::default());
    }
}
