//! This API as an OpenAPI 3.1 document, made from the table of calls and the
//! schemas of the views, so that it cannot say anything else than the code.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::header;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    calls::{self, CALLS, Call, Gives, Takes},
    problem::ProblemView,
    request::Params,
    settings::Scope,
};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| built().to_string().into());

pub(super) async fn document(_: Params) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

fn built() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for call in CALLS {
        let path = paths.entry(call.path).or_insert_with(|| json!({}));
        path[call.verb.as_str().to_ascii_lowercase()] = operation(call, &mut generator);
    }
    let problem = generator.subschema_for::<ProblemView>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portolan admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Register instances, and see where requests go and why.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "What is wrong (RFC 9457).",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Not needed while the admin address is a loopback address.",
                },
            },
        },
        "security": [{ "token": [] }],
    })
}

fn operation(call: &Call, generator: &mut SchemaGenerator) -> Value {
    let scope = call.needs.map_or("", |scope| match scope {
        Scope::Read => "Needs the scope read.",
        Scope::Register => "Needs the scope register, for this service.",
        Scope::Admin => "Needs the scope admin.",
    });
    let mut operation = json!({
        "operationId": call.name,
        "summary": call.about,
        "parameters": parameters(call),
        "responses": responses(call, generator),
    });
    if scope.is_empty() {
        operation["security"] = json!([{}]);
    } else {
        operation["description"] = scope.into();
    }
    let toml = json!({ "schema": { "type": "string" } });
    let body = match call.takes {
        Takes::Nothing => return operation,
        Takes::Registration => {
            let schema = calls::body_schema(call.takes, generator);
            json!({ "required": true, "content": { "application/json": { "schema": schema } } })
        }
        Takes::Toml => json!({ "content": { "application/toml": toml, "text/plain": toml } }),
    };
    operation["requestBody"] = body;
    operation
}

fn parameters(call: &Call) -> Value {
    let braced = call.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = braced.map(|name| {
        let string = json!({ "type": "string" });
        json!({ "name": name, "in": "path", "required": true, "schema": string })
    });
    let in_query = call.query.iter().map(|param| {
        let schema = match param.shape {
            "array" => json!({ "type": "array", "items": { "type": "string" } }),
            shape => json!({ "type": shape }),
        };
        json!({
            "name": param.name,
            "in": "query",
            "required": param.required,
            "description": param.about,
            "schema": schema,
        })
    });
    in_path.chain(in_query).collect()
}

fn responses(call: &Call, generator: &mut SchemaGenerator) -> Value {
    let content = match call.gives {
        Gives::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Gives::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
    };
    let mut responses = Map::new();
    for (status, about) in call.statuses {
        let mut response = json!({ "description": about });
        if *status != 304 {
            response["content"] = content.clone();
        }
        responses.insert(status.to_string(), response);
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    responses.insert("default".to_owned(), problem);
    responses.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_one_of_openapi() {
        let document = built();
        let parsed: utoipa::openapi::OpenApi =
            serde_json::from_value(document.clone()).expect("an OpenAPI document");
        let operations: usize = document["paths"]
            .as_object()
            .expect("paths")
            .values()
            .map(|path| path.as_object().expect("operations").len())
            .sum();
        assert_eq!(operations, CALLS.len(), "two calls with one verb and path");
        assert_eq!(parsed.paths.paths.len(), document["paths"].as_object().expect("paths").len());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, visit: &mut impl FnMut(&str)) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        visit(reference);
                    }
                    fields.values().for_each(|value| walk(value, visit));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
                _ => {}
            }
        }
        let document = built();
        let mut references = 0;
        walk(&document, &mut |reference| {
            references += 1;
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        });
        assert!(references > 20, "{references}");
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let mut names: Vec<_> = CALLS.iter().map(|call| call.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CALLS.len());
    }
}
