//! What is said of a value of the wrong type: what is wanted there, and how it
//! would be written.

use toml::de::DeValue;

use super::{Code, Diagnostic, format::Format, schema::Shape};

/// The diagnostic for `found`, written as `source`, where `shape` is wanted.
pub(super) fn wrong_type(
    shape: Shape<'_>,
    found: &DeValue<'_>,
    source: &str,
    path: &str,
) -> Diagnostic {
    let is = match found {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let quoted = |source: &str| format!("write \"{source}\"");
    let single = !source.contains('\n') && source.len() <= 60;
    let help = match (shape, found) {
        (Shape::Text(Some(Format::Duration)), DeValue::Integer(_)) => {
            Some(format!("write \"{source}s\" or \"{source}ms\""))
        }
        (Shape::Text(Some(Format::ByteSize)), DeValue::Integer(number)) => {
            let size = number.as_str().parse().map(crate::model::ByteSize);
            Some(size.map_or_else(|_| quoted(source), |size| format!("write \"{size}\"")))
        }
        (Shape::Text(Some(format)), DeValue::Table(_) | DeValue::Array(_)) => {
            Some(quoted(format.example()))
        }
        (Shape::Text(_), DeValue::Table(_) | DeValue::Array(_)) => None,
        (Shape::Text(_), _) if single => Some(quoted(source)),
        (Shape::Integer { .. } | Shape::Numbers(_), DeValue::String(text))
            if text.parse::<i64>().is_ok() =>
        {
            Some(format!("write {text}, without quotes"))
        }
        (Shape::Boolean, DeValue::String(text)) if matches!(&**text, "true" | "false") => {
            Some(format!("write {text}, without quotes"))
        }
        (Shape::List { items }, DeValue::Table(_))
            if matches!(Shape::of(items), Shape::Table { .. } | Shape::Kinds(_)) =>
        {
            Some(format!("there can be several; write [[{path}]]"))
        }
        (Shape::List { .. }, DeValue::String(_)) if single => Some(format!("write [{source}]")),
        (Shape::Table { .. }, DeValue::Array(_)) => Some(format!("there is one; write [{path}]")),
        (Shape::Table { keys, .. }, _) => {
            let known: Vec<_> = keys.keys().map(|key| format!("`{key}`")).collect();
            Some(format!("its keys are {}", known.join(", ")))
        }
        _ => None,
    };
    let message = format!("`{path}` wants {}, this is {is}", noun(shape));
    Diagnostic::new(Code::WrongType, 0..0, message)
        .label(format!("not {}", noun(shape)))
        .help_if(help)
}

/// What a shape is called, with its article.
pub(super) fn noun(shape: Shape<'_>) -> String {
    match shape {
        Shape::Table { .. } | Shape::Map { .. } | Shape::Kinds(_) => "a table".into(),
        Shape::List { .. } => "a list".into(),
        Shape::OneOrMany { item } => format!("{} or a list of such", noun(Shape::of(item))),
        Shape::Text(Some(format)) => format.noun().into(),
        Shape::Text(None) | Shape::Unknown => "text".into(),
        Shape::Words(_) => "a word".into(),
        Shape::Integer { .. } | Shape::Numbers(_) => "a whole number".into(),
        Shape::Boolean => "true or false".into(),
    }
}
