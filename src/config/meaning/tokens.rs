//! Who may do what at the admin address, or at a front.

use crate::{
    admin::{Scope, TokenSettings},
    config::tree::Place,
    model::ServiceName,
};

use super::{Code, Diagnostic, bad_name};

pub(super) fn check(given: &[TokenSettings], place: Place<'_>, found: &mut Vec<Diagnostic>) {
    let tokens = place.key("token");
    for (index, token) in given.iter().enumerate() {
        let place = tokens.item(index);
        let name = place.key("name");
        let shown = name.show(&token.name);
        found.extend(bad_name(name, &token.name));
        if let Some(earlier) = given[..index].iter().position(|other| other.name == token.name) {
            found.push(
                Diagnostic::new(
                    Code::TokenName,
                    name.span(),
                    format!("two tokens are named {shown}"),
                )
                .label("the second one")
                .related(tokens.item(earlier).key("name").span(), "the first one"),
            );
        }
        let services = place.key("services");
        let registers = token.scope == Scope::Register;
        if registers && token.services.is_empty() && !place.is_damaged() {
            let message = format!("the token {shown} may register nothing");
            found.push(
                Diagnostic::new(Code::TokenServices, place.key("scope").span(), message)
                    .label("needs `services`")
                    .help("name them, as in services = [\"orders\", \"billing-*\"]"),
            );
        }
        for (index, pattern) in token.services.iter().enumerate().filter(|_| registers) {
            // The shortest name it could match, if any.
            if pattern.replace('*', "0").parse::<ServiceName>().is_err() {
                let item = services.item(index);
                let message = format!("{} matches no service", item.show(pattern));
                found.push(
                    Diagnostic::new(Code::NoEffect, item.span(), message)
                        .label("no service can have such a name"),
                );
            }
        }
        if !registers && services.is_there() {
            let found_here = Diagnostic::new(
                Code::NoEffect,
                services.key_span(),
                format!("`services` of the token {shown} has no effect"),
            );
            let scope = place.key("scope").span();
            found.push(
                found_here
                    .label("only used by the scope `register`")
                    .related(scope, "another scope"),
            );
        }
    }
}
