//! Tests of `client`.

use super::{super::testing::FakeAdmin, *};

#[tokio::test]
async fn a_call_carries_the_token_and_json() {
    let admin = FakeAdmin::start(|_| (200, r#"{"ok":true}"#.to_owned())).await;
    let body = serde_json::json!({ "weight": 7 });
    let answer = admin.client.call(Method::PUT, "/api/v1/x?a=b", Some(&body), TIMEOUT).await;
    assert_eq!(answer.expect("an answer").json().expect("JSON")["ok"], true);
    let asked = ("PUT /api/v1/x?a=b Bearer secret".to_owned(), r#"{"weight":7}"#.to_owned());
    assert_eq!(admin.asked(), [asked]);
}

#[tokio::test]
async fn a_problem_is_told_with_its_suggestions() {
    let problem = r#"{"type":"x","title":"unknown service","status":404,
        "detail":"there is no service \"ordres\"",
        "errors":[{"pointer":"","detail":"there is no service \"ordres\"","suggestion":"orders"}]}"#;
    let admin = FakeAdmin::start(|_| (404, problem.to_owned())).await;
    let error = admin.client.view::<Value>("/api/v1/services/ordres").await.expect_err("a 404");
    assert_eq!(error.to_string(), "unknown service: there is no service \"ordres\"");
    assert_eq!(error.advice(), ["did you mean \"orders\"?"]);
}

#[tokio::test]
async fn each_field_that_is_wrong_is_told() {
    let problem = r#"{"title":"bad registration","detail":"unknown field","errors":[
        {"pointer":"/weigth","detail":"unknown field","suggestion":"weight"},
        {"pointer":"/ttl","detail":"must be longer than nothing"}]}"#;
    let admin = FakeAdmin::start(|_| (422, problem.to_owned())).await;
    let error = admin.client.view::<Value>("/").await.expect_err("a 422");
    let told = ["at /weigth", "did you mean \"weight\"?", "/ttl: must be longer than nothing"];
    assert_eq!(error.advice(), told);
}

#[tokio::test]
async fn a_missing_token_is_pointed_out() {
    let admin = FakeAdmin::start(|_| (401, r#"{"title":"token required"}"#.to_owned())).await;
    let error = admin.client.view::<Value>("/").await.expect_err("a 401");
    assert_eq!(error.advice(), ["a token is given by PORTOLAN_TOKEN or --token-file"]);
}

#[tokio::test]
async fn another_program_is_not_taken_for_portolan() {
    let admin = FakeAdmin::start(|_| (404, "<html>not here</html>".to_owned())).await;
    let error = admin.client.view::<Value>("/").await.expect_err("HTML");
    assert!(matches!(error, ClientError::NotPortolan { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_says_where_and_what_to_try() {
    // Bound and dropped: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let client = Client::new(url.parse().expect("a URL"), None);
    let error = client.view::<Value>("/").await.expect_err("nobody");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(error.advice()[0].contains("portolan run"));
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let client = Client::new(url.parse().expect("a URL"), None);
    let called = client.call(Method::GET, "/", None, Duration::from_millis(50)).await;
    assert!(matches!(called, Err(ClientError::Timeout { .. })));
    drop(listener);
}
